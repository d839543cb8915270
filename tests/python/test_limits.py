"""Limits from Python: set, seen, felt, and not to be got rid of."""

import sys
import unittest

import pimalloc
import support
from support import interpreter

MIB = 1 << 20

USE_UP = """
import pimalloc
things = []
try:
    while True:
        things.append(bytes(10_000))
except MemoryError:
    result = [sum(map(len, things)), pimalloc.limits()]
    things.clear()
"""


@support.needs_active
class Limits(unittest.TestCase):
    def tearDown(self):
        pimalloc.set_limit(None)
        pimalloc.set_limit(None, interp=pimalloc.EACH)

    def test_none_at_first(self):
        limits = pimalloc.limits()
        self.assertEqual((limits["id"], limits["soft"], limits["hard"]), (0, None, None))
        domains = pimalloc.stats(0)["domains"]
        self.assertGreater(limits["live_bytes"], domains["obj"]["live_bytes"])
        self.assertIsNone(pimalloc.limits(pimalloc.EACH)["soft"])

    def test_set_and_get(self):
        refusals = pimalloc.limits()["refusals"]
        self.assertIsNone(pimalloc.set_limit(1 << 40, hard=1 << 41))
        limits = pimalloc.limits()
        self.assertEqual((limits["soft"], limits["hard"]), (1 << 40, 1 << 41))
        self.assertEqual(limits["refusals"], refusals)
        pimalloc.set_limit(None, 1 << 41)
        limits = pimalloc.limits(0)
        self.assertEqual((limits["soft"], limits["hard"]), (None, 1 << 41))

    def test_main_gets_a_memory_error_and_goes_on(self):
        refusals = pimalloc.limits()["refusals"]
        pimalloc.set_limit(pimalloc.limits()["live_bytes"] + 8 * MIB)
        with self.assertRaises(MemoryError):
            [0] * 10**9
        things = []
        with self.assertRaises(MemoryError):
            while True:
                things.append(bytes(1000))
        self.assertGreater(sum(map(len, things)), 4 * MIB)
        self.assertLess(sum(map(len, things)), 10 * MIB)
        things.clear()
        self.assertGreaterEqual(pimalloc.limits()["refusals"], refusals + 2)
        self.assertEqual(len(bytes(MIB)), MIB)

    def test_interpreters_are_limited_apart(self):
        with interpreter() as one, interpreter() as other:
            one.run("import pimalloc")
            pimalloc.set_limit(24 * MIB, 26 * MIB, interp=one)
            size, limits = one.run(USE_UP)
            self.assertLess(size, 24 * MIB)
            self.assertGreater(size, 10 * MIB)
            self.assertEqual((limits["soft"], limits["hard"]), (24 * MIB, 26 * MIB))
            self.assertLessEqual(limits["live_bytes"], 26 * MIB)
            self.assertEqual(other.run("result = len(bytes(64 << 20))"), 64 * MIB)
            self.assertEqual(pimalloc.limits(other.id)["refusals"], 0)

    def test_those_to_come(self):
        with interpreter() as before:
            pimalloc.set_limit(40 * MIB, interp=pimalloc.EACH)
            self.assertEqual(pimalloc.limits(pimalloc.EACH)["soft"], 40 * MIB)
            with interpreter() as one:
                self.assertEqual(pimalloc.limits(one)["soft"], 40 * MIB)
                self.assertLess(one.run(USE_UP)[0], 40 * MIB)
            self.assertIsNone(pimalloc.limits(before)["soft"])
            self.assertIsNone(pimalloc.limits()["soft"])

    def test_no_way_out_for_a_limited_one(self):
        code = ("import pimalloc\n"
                "result = 0\n"
                "for soft, interp in (None, None), (1 << 40, None), (None, 0), (None, -2), (1, 0):\n"
                "    try: pimalloc.set_limit(soft, interp=interp)\n"
                "    except PermissionError: result += 1\n")
        with interpreter() as one:
            pimalloc.set_limit(40 * MIB, interp=one)
            self.assertEqual(one.run(code), 5)
            self.assertEqual(pimalloc.limits(one)["soft"], 40 * MIB)
        with interpreter(legacy=True) as one:
            self.assertEqual(one.run(code), 5)
            self.assertEqual(pimalloc.limits(one)["id"], 0)

    def test_one_without_a_limit_may_limit_itself(self):
        with interpreter() as one:
            self.assertEqual(one.run("import pimalloc\n"
                                     "pimalloc.set_limit(30 << 20)\n"
                                     "result = pimalloc.limits()['soft']"), 30 * MIB)
            self.assertLess(one.run(USE_UP)[0], 30 * MIB)

    def test_wrong_arguments(self):
        for bad in (0, -1):
            with self.assertRaisesRegex(ValueError, "at least one byte"):
                pimalloc.set_limit(bad)
            with self.assertRaisesRegex(ValueError, "at least one byte"):
                pimalloc.set_limit(MIB, bad)
        with self.assertRaisesRegex(ValueError, "below soft"):
            pimalloc.set_limit(1 << 40, 1 << 39)
        for unknown in (99, -3):
            with self.assertRaisesRegex(ValueError, "no living interpreter"):
                pimalloc.set_limit(1 << 40, interp=unknown)
            with self.assertRaisesRegex(ValueError, "no living interpreter"):
                pimalloc.limits(unknown)
        with self.assertRaisesRegex(ValueError, "process has no limit"):
            pimalloc.set_limit(1 << 40, interp=pimalloc.PROCESS)
        for bad in ("64M", 1.5, []):
            with self.assertRaises(TypeError):
                pimalloc.set_limit(bad)
        with self.assertRaises(TypeError):
            pimalloc.set_limit()
        with self.assertRaises(OverflowError):
            pimalloc.set_limit(1 << 64)
        self.assertIsNone(pimalloc.limits()["soft"])

    def test_an_ended_one_has_no_limit(self):
        with interpreter() as one:
            number = one.id
        if sys.version_info[:3] != (3, 14, 0):
            with self.assertRaises(ValueError):
                pimalloc.set_limit(MIB, interp=number)

    def test_of_the_environment(self):
        code = ("import pimalloc\n"
                "assert pimalloc.limits()['soft'] == 100 << 20\n"
                "assert pimalloc.limits(pimalloc.EACH)['hard'] == 110 << 20\n"
                "try: bytes(100 << 20)\n"
                "except MemoryError: print('refused')\n")
        done = support.run_python(code, PIMALLOC_LIMIT="100M:110M")
        self.assertEqual((done.returncode, done.stdout), (0, "refused\n"), done.stderr)


if __name__ == "__main__":
    support.main()
