"""worker.py runs every program once in this Python, on two allocators.

  PIM_TEST_PRELOAD  libpimalloc-preload.so
"""

import os
import platform
import sys
import unittest

from support import MACRO, NAMES, Checks, WithPrograms, run

PRELOAD = os.environ["PIM_TEST_PRELOAD"]
ON_PYMALLOC = {"PYTHONMALLOC": "pymalloc"}
ON_PIMALLOC = {"LD_PRELOAD": PRELOAD}


def worker(*options, **variables):
    return run([sys.executable, MACRO / "worker.py", "--rest=0", *options],
               **variables)


class Worker(Checks, unittest.TestCase):

    def check_program(self, program, allocator, **variables):
        result = self.result(worker(f"--program={program}", "--loops=1",
                                    f"--allocator={allocator}", **variables))
        if "skipped" in result:  # a Python without sqlite, for example
            self.assertEqual(result["allocator"], allocator)
            self.assertTrue(result["skipped"])
            return
        self.check_figures(result, program, allocator)
        self.assertEqual(result["loops"], 1)
        self.assertEqual(result["python"], platform.python_version())

    def test_every_program_has_its_digest_on_pymalloc(self):
        for program in NAMES:
            with self.subTest(program):
                self.check_program(program, "pymalloc", **ON_PYMALLOC)

    def test_every_program_has_its_digest_on_pimalloc(self):
        for program in NAMES:
            with self.subTest(program):
                self.check_program(program, "pimalloc", **ON_PIMALLOC)

    def test_without_loops_a_program_runs_as_often_as_it_says(self):
        result = self.result(worker("--program", "scheduler", **ON_PYMALLOC))
        self.assertGreater(result["loops"], 1)
        self.assertEqual(result["allocator"], "pymalloc")

    def test_an_aged_process_times_each_repetition_and_stage(self):
        words = "--loops=3", "--rest=0", "--aged"
        for program, stages in (("tuples", ["make", "count", "drop"]),
                                ("scheduler", [])):
            result = self.result(worker(f"--program={program}", *words,
                                        **ON_PYMALLOC))
            self.check_figures(result, program, "pymalloc")
            self.check_laps(result, program,
                            [f"{program}_{stage}" for stage in stages], 3)

    def test_a_rest_is_outside_the_time(self):
        result = self.result(worker("--program=scheduler", "--loops=1",
                                    "--rest=30e-3", **ON_PYMALLOC))
        self.assertNotIn("laps", result)

    def test_a_label_names_the_allocator(self):
        result = self.result(worker(
            "--program=scheduler", "--loops=1", "--allocator=pimalloc",
            "--label=before", "--json", **ON_PIMALLOC))
        self.assertEqual(result["allocator"], "before")

    def test_glibc_is_told_from_what_may_be_any_malloc(self):
        words = "--program=scheduler", "--loops=1"
        found = [self.result(worker(*words, *more, PYTHONMALLOC="malloc"))
                 ["allocator"] for more in ((), ("--allocator=glibc",))]
        self.assertEqual(found, ["malloc", "glibc"])

    def test_it_refuses_to_measure_another_allocator(self):
        for wanted, variables in (("pimalloc", ON_PYMALLOC),
                                  ("pymalloc", ON_PIMALLOC),
                                  ("glibc", ON_PYMALLOC),
                                  ("jemalloc", {"PYTHONMALLOC": "malloc"})):
            with self.subTest(wanted):
                done = worker("--program=scheduler", "--loops=1",
                              f"--allocator={wanted}", **variables)
                self.check_refused(done, f"asked for {wanted}", "PYTHONMALLOC")

    def test_it_says_what_is_wrong_with_its_options(self):
        for options, text in (((), "--program is missing"),
                              (("--program=nosuch",), "nosuch"),
                              (("--program=json", "--loops=0"), "--loops"),
                              (("--program=json", "--loops=many"), "--loops"),
                              (("--program=json", "--rest=long"), "--rest"),
                              (("--program",), "--program"),
                              (("--frob",), "--frob"),
                              (("--program=json", "--allocator=x"), "x"),
                              (("--program=json", "--programs=/none"),
                               "/none")):
            with self.subTest(options):
                self.check_refused(worker(*options), text)

    def test_help_and_list(self):
        self.assertIn("usage:", worker("--help").stdout)
        self.assertEqual(worker("--list").stdout.split(), NAMES)


class Copy(WithPrograms, Checks, unittest.TestCase):

    def work(self, source):
        self.make(source)
        return worker("--program=made", f"--programs={self.programs}",
                      **ON_PYMALLOC)

    def test_a_program_of_another_folder_runs(self):
        result = self.result(self.work(
            "def setup(): return [1, 2]\ndef run(data): return sum(data)\n"))
        self.assertEqual(result["digest"], "3")
        self.assertEqual(result["loops"], 3)

    def test_digests_that_differ_are_refused(self):
        self.check_refused(self.work(
            "def setup(): return []\n"
            "def run(data): data.append(1); return len(data)\n"), "digests")

    def test_a_program_without_its_c_module_is_skipped(self):
        result = self.result(self.work("NEEDS = ('_not_there',)\n"))
        self.assertIn("_not_there", result["skipped"])
        self.assertNotIn("digest", result)

    def test_a_program_that_cannot_be_imported_is_skipped(self):
        result = self.result(self.work("import not_there\n"))
        self.assertIn("not_there", result["skipped"])


if __name__ == "__main__":
    unittest.main()
