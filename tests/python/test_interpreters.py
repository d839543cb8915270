"""Interpreters with a GIL of their own: figures, owners and ends of each."""

import gc
import sys
import unittest

import pimalloc
import support
from support import interpreter

# CPython 3.14.0 never tells the end of an interpreter.
ENDS = sys.version_info[:3] != (3, 14, 0)


@support.needs_active
class Interpreters(unittest.TestCase):
    def test_main_is_known(self):
        self.assertIn(0, pimalloc.interpreters())

    def test_a_new_one_is_listed_and_its_end_is_told(self):
        with interpreter() as one:
            self.assertIn(one.id, pimalloc.interpreters())
            self.assertEqual(pimalloc.stats(one.id)["state"], "alive")
        gc.collect()
        self.assertIn(one.id, pimalloc.interpreters())
        if ENDS:
            self.assertEqual(pimalloc.stats(one.id)["state"], "ended")

    def test_each_counts_its_own(self):
        with interpreter() as one, interpreter() as other:
            main, second = support.live_blocks(), support.live_blocks(other.id)
            one.run("things = [object() for i in range(100_000)]")
            grown = pimalloc.stats(one.id)["domains"]["obj"]["live_blocks"]
            self.assertGreaterEqual(grown, 100_000)
            self.assertLess(support.live_blocks() - main, 5000)
            self.assertLess(support.live_blocks(other.id) - second, 5000)
            one.run("del things")
            shrunk = pimalloc.stats(one.id)["domains"]["obj"]["live_blocks"]
            self.assertLess(shrunk, grown - 99_000)

    def test_it_sees_itself_and_the_others(self):
        with interpreter() as one:
            seen = one.run("import pimalloc\n"
                           "result = [pimalloc.active(), pimalloc.version(),\n"
                           "          pimalloc.interpreters(), pimalloc.stats(%d)['id'],\n"
                           "          sorted(pimalloc.stats()['interpreters'])]" % one.id)
            self.assertEqual(seen[:2], [True, pimalloc.version()])
            self.assertEqual(seen[2], pimalloc.interpreters())
            self.assertEqual(seen[3], one.id)
            self.assertEqual(seen[4], sorted(seen[2]))

    def test_owner_there(self):
        with interpreter() as one:
            code = ("import pimalloc, sys\n"
                    "class C: pass\n"
                    "things = [[], {}, C(), C, bytes(100_000), tuple(range(9000)), 10**50, sys]\n"
                    "result = [pimalloc.owner(t) for t in things]\n"
                    "static = [pimalloc.owner(t) for t in (None, 1, int, ())]\n"
                    "result.append(static)")
            self.assertEqual(one.run(code), [one.id] * 8 + [[None] * 4])
            self.assertEqual(pimalloc.owner([]), 0)

    def test_interpreter_objects_name_themselves(self):
        with interpreter() as one:
            self.assertEqual(pimalloc.stats(one)["id"], one.id)
            self.assertEqual(pimalloc.stats(one.handle)["id"], one.id)

    def test_a_legacy_one_is_part_of_main(self):
        with interpreter(legacy=True) as one:
            code = "import pimalloc\nresult = [pimalloc.active(), pimalloc.owner([])]"
            self.assertEqual(one.run(code), [True, 0])
            self.assertNotIn(one.id, pimalloc.interpreters())
            self.assertEqual(pimalloc.stats(one.id)["id"], 0)

    def test_state_is_each_ones_own(self):
        with interpreter() as one:
            first = one.run("import pimalloc, sys\n"
                            "m = sys.modules.pop('pimalloc')\n"
                            "import pimalloc\n"
                            "result = pimalloc is not m and pimalloc.active()")
            self.assertTrue(first)
            error = one.run("import pimalloc\n"
                            "try: pimalloc.stats(4711)\n"
                            "except ValueError as e: result = str(e)")
            self.assertIn("4711", error)

    def test_importing_interpreters_leave_no_more_than_others(self):
        def left_by(code, rounds):
            for _ in range(rounds):
                with interpreter() as one:
                    one.run(code)
            gc.collect()
            return support.live_blocks(pimalloc.PROCESS) + support.live_blocks()

        left_by("import pimalloc; pimalloc.stats()", 3)
        start = left_by("pass", 1)
        without = left_by("pass", 10) - start
        start = left_by("pass", 1)
        with_module = left_by("import pimalloc; pimalloc.stats(); pimalloc.owner([])", 10) - start
        self.assertLess(with_module - without, 500)

    def test_trim_there(self):
        with interpreter() as one:
            given = one.run("things = [bytes(1000) for i in range(3000)]\n"
                            "del things\n"
                            "import pimalloc\n"
                            "result = pimalloc.trim()")
            self.assertGreater(given, 0)

    def test_the_forgotten_are_unknown(self):
        first = None
        for _ in range(70):
            with interpreter() as one:
                first = one.id if first is None else first
        if ENDS:
            self.assertNotIn(first, pimalloc.interpreters())
            with self.assertRaises(ValueError):
                pimalloc.stats(first)


if __name__ == "__main__":
    support.main()
