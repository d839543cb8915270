"""The host runs every program once, in two interpreters on pimalloc.

  PIM_TEST_HOST  bench_macro_<id>, with this Python in it
"""

import os
import platform
import sys
import unittest

from support import NAMES, Checks, WithPrograms, run

HOST = os.environ["PIM_TEST_HOST"]
HAS_MIMALLOC = sys.version_info >= (3, 13)


def host(*options, **variables):
    return run([HOST, "--rest=0", *options], **variables)


class Host(Checks, unittest.TestCase):

    def check_program(self, program, allocator, interpreters):
        result = self.result(host(
            f"--program={program}", "--loops=1", f"--allocator={allocator}",
            f"--interpreters={interpreters}", "--json"))
        if "skipped" in result:
            # Some C modules of 3.12 want to be alone; later ones do not.
            self.assertLess(sys.version_info, (3, 13), result["skipped"])
            return
        self.check_figures(result, program, allocator, interpreters)
        self.assertEqual(result["loops"], 1)
        self.assertEqual(result["python"], platform.python_version())

    def test_every_program_has_its_digest_in_two_interpreters(self):
        for program in NAMES:
            with self.subTest(program):
                self.check_program(program, "pimalloc", 2)

    def test_each_allocator_of_python(self):
        for allocator in ("pymalloc", "malloc",
                          *(["mimalloc"] if HAS_MIMALLOC else [])):
            with self.subTest(allocator):
                self.check_program("scheduler", allocator, 1)

    def test_the_floors(self):
        for allocator in ("floor", "ordered"):
            for program in ("seasons", "json", "buffers", "growing"):
                with self.subTest(program, allocator=allocator):
                    self.check_program(program, allocator, 1)

    def test_an_aged_process_times_each_repetition_and_stage(self):
        for allocator in ("pimalloc", "ordered"):
            result = self.result(host("--program=tuples", "--loops=3",
                                      "--aged", "--rest=0",
                                      f"--allocator={allocator}"))
            self.check_figures(result, "tuples", allocator)
            self.check_laps(result, "tuples",
                            ["tuples_make", "tuples_count", "tuples_drop"], 3)

    def test_many_interpreters(self):
        self.check_program("scheduler", "pimalloc", 7)

    def test_pimalloc_is_the_default_and_loops_are_the_programs(self):
        result = self.result(host("--program=scheduler"))
        self.assertEqual(result["allocator"], "pimalloc")
        self.assertGreater(result["loops"], 1)

    def test_environment_variables_of_python_change_nothing(self):
        result = self.result(host(
            "--program=scheduler", "--loops=1", "--allocator=pimalloc",
            PYTHONMALLOC="malloc", PYTHONHASHSEED="7", PYTHONPATH="/none"))
        self.check_figures(result, "scheduler", "pimalloc")

    def test_a_label_names_the_allocator(self):
        result = self.result(host("--program=scheduler", "--loops=1",
                                  "--allocator=malloc", "--label=glibc"))
        self.assertEqual(result["allocator"], "glibc")

    def test_a_label_of_a_malloc_that_is_not_there_is_refused(self):
        self.check_refused(
            host("--program=scheduler", "--allocator=malloc",
                 "--label=jemalloc"), "jemalloc is not", "LD_PRELOAD")

    @unittest.skipIf(HAS_MIMALLOC, "this Python has a mimalloc")
    def test_mimalloc_is_refused_where_there_is_none(self):
        self.check_refused(host("--program=scheduler", "--allocator=mimalloc"),
                           "3.13")

    def test_it_says_what_is_wrong_with_its_options(self):
        for options, text in ((("--program=nosuch",), "nosuch"),
                              (("--program=../worker",), "../worker"),
                              ((), "--program is missing"),
                              (("--program=json", "--loops=0"), "loops"),
                              (("--program=json", "--interpreters=many"),
                               "interpreters"),
                              (("--program=json", "--interpreters=65"), "65"),
                              (("--program=json", "--allocator=x"), "'x'"),
                              (("--program=json", "--rest=-1"), "'-1'"),
                              (("--program=json", "--rest=x"), "'x'"),
                              (("--program=json", "more"), "more"),
                              (("--program=json", "--programs=/none"),
                               "/none")):
            with self.subTest(options):
                self.check_refused(host(*options), text)

    def test_help(self):
        self.assertIn("usage:", host("--help").stdout)


class Copy(WithPrograms, Checks, unittest.TestCase):

    def work(self, source, *options):
        self.make(source)
        return host("--program=made", f"--programs={self.programs}", *options)

    def test_a_program_of_another_folder_runs(self):
        result = self.result(self.work(
            "def setup(): return 'a\"\\n'\ndef run(data): return data * 2\n"))
        self.assertEqual(result["digest"], 'a"\na"\n')
        self.assertEqual(result["loops"], 3)

    def test_interpreters_start_their_loops_together(self):
        # Each waits in its loop for all the others to be in theirs.
        result = self.result(self.work(
            "import os, time\n"
            f"here = {str(self.programs)!r}\n"
            "me = os.urandom(8).hex()\n"
            "def note(what): open(f'{here}/{me}.{what}', 'w').close()\n"
            "def count(what): return sum(n.endswith(what) for n in os.listdir(here))\n"
            "def setup(): note('ready')\n"
            "def run(_):\n"
            "    assert count('.ready') == 4\n"
            "    note('runs')\n"
            "    while count('.runs') < 4: time.sleep(0.001)\n"
            "    time.sleep(0.1)\n"
            "    return 1\n", "--interpreters=4"))
        self.assertGreater(min(result["real_s"]), 0.29)

    def test_what_goes_wrong_in_a_program_is_shown(self):
        for source, text in (
                ("def setup(): return 1\ndef run(_): return 1 // 0\n",
                 "ZeroDivisionError"),
                ("def setup(): raise OSError('no input')\n"
                 "def run(_): return 1\n", "no input"),
                ("def setup(): return []\n"
                 "def run(d): d.append(1); return len(d)\n", "digests"),
                ("def setup(): return None\n"
                 "def run(_): return id(setup)\n", "different digests"),
                ("def run(_) return 1\n", "SyntaxError")):
            with self.subTest(text):
                done = self.work(source, "--interpreters=2")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn(text, done.stderr)

    def test_a_program_without_its_c_module_is_skipped(self):
        result = self.result(self.work("NEEDS = ('_not_there',)\n",
                                       "--interpreters=2"))
        self.assertIn("_not_there", result["skipped"])
        self.assertNotIn("digest", result)


if __name__ == "__main__":
    unittest.main()
