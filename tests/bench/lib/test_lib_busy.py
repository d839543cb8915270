#!/usr/bin/env python3
"""What other processes use of the processors is told from one's own."""

import subprocess
import sys
import time
import unittest
from pathlib import Path

import support
from lib import busy

STAT = """\
cpu  1000 20 300 5000 10 0 40 70 0 0
cpu0 500 10 150 2500 5 0 20 35 0 0
intr 1 2 3
"""
BURN = "import time\nwhile time.process_time() < 0.5: pass"


class Readings(unittest.TestCase):

    def test_columns_are_those_of_the_first_line(self):
        self.assertEqual(busy.parse(STAT), (1320, 70))

    def test_a_kernel_that_does_not_tell_is_no_error(self):
        for text in ("", "intr 1", "cpu  1 2 3"):
            self.assertIsNone(busy.parse(text))
        self.assertIsNone(busy.read(Path("/nonexistent/stat")))
        self.assertIsNone(busy.between(None, busy.Reading(1, 0, 0, 1)))

    def test_ones_own_work_is_taken_off(self):
        found = busy.between(busy.Reading(10.0, 1.0, 5.0, 100.0),
                             busy.Reading(13.0, 1.5, 6.0, 102.0))
        self.assertEqual(found, (1.0, 0.25))

    def test_less_than_nothing_is_nothing(self):
        found = busy.between(busy.Reading(10.0, 0, 5.0, 100.0),
                             busy.Reading(11.0, 0, 6.1, 102.0))
        self.assertEqual(found.others, 0.0)

    def test_children_and_theirs_are_ones_own(self):
        before = busy.own_seconds()
        subprocess.run([sys.executable, "-S", "-c", "import subprocess, sys\n"
                        "subprocess.run([sys.executable, '-S', '-c', "
                        f"{BURN!r}])"], check=True)
        self.assertGreaterEqual(busy.own_seconds() - before, 0.45)


class Said(unittest.TestCase):

    def seen(self, before, during, stolen=0.0):
        return busy.Round(busy.Others(before, 0.0),
                          busy.Others(during, stolen))

    def test_a_busy_machine_is_said_in_one_line(self):
        said = busy.line([self.seen(0.0, 0.0), self.seen(0.8, 0.9),
                          self.seen(0.4, 0.3)])
        self.assertRegex(said, "^BUSY MACHINE in 2 of 3 rounds: other "
                         r"processes used 0.40 of a processor \(most 0.90 in a round\), "
                         "0.40 just before")
        self.assertNotIn("\n", said)
        self.assertNotIn("host took", said)

    def test_stolen_time_is_said(self):
        self.assertIn("the machine's own host took 0.20",
                      busy.line([self.seen(0.0, 0.0, 0.2)]))

    def test_a_quiet_one_is_not(self):
        self.assertIsNone(busy.line([self.seen(0.04, 0.02, 0.01)]))
        self.assertIsNone(busy.line([busy.Round(None, None)]))
        self.assertIsNone(busy.line([]))

    def test_all_of_it_is_saved(self):
        saved = busy.saved([self.seen(0.8, 0.9), busy.Round(None, None)])
        self.assertIn("BUSY", saved["said"])
        self.assertEqual(saved["rounds"], [
            {"before": {"others": 0.8, "stolen": 0.0},
             "during": {"others": 0.9, "stolen": 0.0}},
            {"before": None, "during": None}])

    def test_a_look_sees_another_process(self):
        burning = subprocess.Popen([sys.executable, "-S", "-c",
                                    "while True: pass"])
        try:
            end = time.monotonic() + support.SECONDS
            while busy.look().others < 0.2:  # it may have to wait
                self.assertLess(time.monotonic(), end)
        finally:
            burning.kill()
            burning.wait()


if __name__ == "__main__":
    unittest.main()
