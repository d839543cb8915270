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

    def test_an_interpreter_counts_for_another(self):
        with interpreter() as one, interpreter() as other:
            limits = pimalloc.limits(one)
            self.assertIsNone(limits["parent"])
            self.assertIs(limits["counts_made"], True)
            self.assertEqual(limits["tree_bytes"], limits["live_bytes"])
            self.assertEqual(limits["left_bytes"], 0)
            self.assertIs(pimalloc.limits()["counts_made"], False)
            one.run("import pimalloc")
            self.assertIsNone(pimalloc.count_for(other, one))
            self.assertEqual(pimalloc.limits(other.id)["parent"], one.id)
            both = pimalloc.limits(one)["live_bytes"] + pimalloc.limits(other)["live_bytes"]
            self.assertEqual(pimalloc.limits(one)["tree_bytes"], both)
            pimalloc.set_limit(40 * MIB, interp=one)
            self.assertLess(other.run(USE_UP.replace("import pimalloc", "")
                                      .replace(", pimalloc.limits()", ""))[0], 40 * MIB)
            self.assertGreater(pimalloc.limits(one)["refusals"], 0)
            self.assertEqual(pimalloc.limits(other)["refusals"], 0)
            with self.assertRaisesRegex(ValueError, "counts for it"):
                pimalloc.count_for(one, other)
            self.assertIsNone(pimalloc.count_for(other, None))
            self.assertEqual(other.run("result = len(bytes(64 << 20))"), 64 * MIB)
            with self.assertRaisesRegex(ValueError, "nor the main one"):
                pimalloc.count_for(0, one)
            for unknown in ((99, one), (one, 99)):
                with self.assertRaisesRegex(ValueError, "no such interpreter"):
                    pimalloc.count_for(*unknown)
            for bad in ((one,), (None, one), ("x", one), (one, "x")):
                with self.assertRaises(TypeError):
                    pimalloc.count_for(*bad)

    def test_what_one_makes_counts_for_it_or_not(self):
        name = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
        make = f"import {name} as it\nmade = it.create()\nresult = int(made)"
        with interpreter() as one:
            for count in (True, False):
                self.assertIsNone(pimalloc.count_made(count, interp=one))
                self.assertIs(pimalloc.limits(one)["counts_made"], count)
                child = one.run(make)
                self.assertEqual(pimalloc.limits(child)["parent"], one.id if count else None)
                one.run("it.destroy(made)\nresult = 0")
        try:
            pimalloc.count_made(False, interp=pimalloc.EACH)
            self.assertIs(pimalloc.limits(pimalloc.EACH)["counts_made"], False)
            with interpreter() as one:
                self.assertIs(pimalloc.limits(one)["counts_made"], False)
        finally:
            pimalloc.count_made(True, interp=pimalloc.EACH)
        with self.assertRaisesRegex(ValueError, "no such interpreter"):
            pimalloc.count_made(True, interp=99)
        with self.assertRaises(TypeError):
            pimalloc.count_made()

    def test_only_main_says_who_counts(self):
        code = ("import pimalloc\n"
                "result = 0\n"
                "for call in (lambda: pimalloc.count_made(False),\n"
                "             lambda: pimalloc.count_for(pimalloc.limits()['id'], None)):\n"
                "    try: call()\n"
                "    except PermissionError: result += 1\n")
        with interpreter() as one:
            self.assertEqual(one.run(code), 2)

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

    def test_children_of_the_environment(self):
        code = ("import pimalloc\n"
                "print(pimalloc.limits()['counts_made'],\n"
                "      pimalloc.limits(pimalloc.EACH)['counts_made'])\n")
        for word, said in (("none", "False False"), ("tenants", "False True"),
                           ("all", "True True")):
            done = support.run_python(code, PIMALLOC_LIMIT_TREE=word)
            self.assertEqual((done.returncode, done.stdout), (0, said + "\n"), done.stderr)


if __name__ == "__main__":
    support.main()
