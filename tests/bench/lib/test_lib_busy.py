#!/usr/bin/env python3
"""What other processes use of the processors is told from one's own."""

import subprocess
import sys
import unittest
from pathlib import Path

import support
from lib import busy, table

STAT = """\
cpu  1000 20 300 5000 10 0 40 70 0 0
cpu0 500 10 150 2500 5 0 20 35 0 0
intr 1 2 3
"""
BURN = "import time\nwhile time.process_time() < 0.5: pass"


def row(name, others, stolen=0.0):
    return support.entry(name, 0, 1.0, others=others, stolen=stolen)


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

    def test_a_busy_machine_is_said(self):
        lines = table.others_lines([row("server/requests/x/pimalloc", 0.9),
                                    row("server/p99/x/pymalloc", 0.3)])
        self.assertEqual(len(lines), 1)
        self.assertIn("server: other processes used 0.60 of a "
                      "processor", lines[0])
        self.assertIn("most 0.90", lines[0])

    def test_stolen_time_is_said(self):
        lines = table.others_lines([row("micro/x/pimalloc", 0.0, 0.2)])
        self.assertIn("micro: the machine's own host took 0.20", lines[0])

    def test_a_quiet_one_is_not(self):
        self.assertEqual(table.others_lines(
            [row("micro/x/pimalloc", 0.02, 0.01)]), [])
        self.assertEqual(table.others_lines(
            [support.entry("micro/x/pimalloc", 0, 1.0)]), [])


if __name__ == "__main__":
    unittest.main()
