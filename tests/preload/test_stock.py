"""python itself, as people call it: served, and nothing else changes."""

import tempfile
import unittest
from pathlib import Path

import support
from support import WORK, python


class Stock(support.TestCase):
    def assert_unchanged(self, *arguments, **options):
        plain = python(*arguments, libraries=(), **options)
        served = python(*arguments, **options)
        self.assertEqual((served.status, served.stdout, served.stderr),
                         (plain.status, plain.stdout, plain.stderr))
        self.assertEqual(plain.figures, {})
        return self.assert_served(served)

    def test_each_way_to_name_the_code(self):
        code = WORK + "import sys; print(len(kept), sys.flags, sys.argv[1:])"
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "script.py")
            script.write_text(code, encoding="utf-8")
            for arguments in (["-c", code, "-X", "dev"], ["-I", "-c", code], ["-E", "-c", code],
                              ["-S", "-c", code], ["-IBS", "-c", code],
                              ["-m", "script", "-I"], [str(script), "-X", "dev"],
                              ["-W", "ignore", "-X", "utf8", str(script)]):
                with self.subTest(arguments):
                    self.assert_unchanged(*arguments, PYTHONPATH=folder)

    def test_little_memory_is_taken_from_the_start(self):
        code = ("print(next(line.split()[1] for line in open('/proc/self/smaps_rollup') "
                "if line.startswith('Private_Dirty')))")
        setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        if not setting.exists() or "[always]" in setting.read_text(encoding="ascii"):
            self.skipTest("all memory may be in huge pages here")
        plain = int(python("-c", code, libraries=()).stdout)
        self.assertLess(int(python("-c", code).stdout), plain + 1200)

    def test_from_stdin(self):
        for arguments in ([], ["-"], ["-i"]):
            with self.subTest(arguments):
                self.assert_unchanged(*arguments, stdin=WORK + "\n" + "print(len(kept))\n")

    def test_exit_statuses(self):
        for end in ("import sys; sys.exit(3)", "import sys; sys.exit('told')", "1 / 0",
                    "raise SystemExit(257)"):
            with self.subTest(end):
                self.assert_unchanged("-c", WORK + end)

    def test_figures_are_plausible(self):
        document = self.assert_unchanged("-c", WORK + "import os; os.stat('/')")
        self.assertEqual(document["version"], 1)
        objects = support.main_objects(document)
        self.assertLess(objects["peak_blocks"], 200_000)
        self.assertGreater(objects["peak_bytes"], 20_000 * 64)
        self.assertLess(objects["live_blocks"], objects["peak_blocks"])

    def test_no_figures_unless_asked(self):
        done = python("-c", WORK, PIMALLOC_STATS=None)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "", ""))

    def test_verbose_says_that_it_is_installed(self):
        done = python("-c", WORK, PIMALLOC_VERBOSE="1")
        self.assertEqual(len(done.ours), 1, str(done))
        self.assertIn("pimalloc: installed, CPython", done.stderr)

    def test_nothing_is_said_of_a_python_that_only_prints(self):
        for option in ("-V", "-VV", "-h", "--help-all", "-Z"):
            with self.subTest(option):
                plain = python(option, libraries=())
                quiet = python(option)
                self.assertEqual((plain.status, plain.stdout, plain.stderr),
                                 (quiet.status, quiet.stdout, quiet.stderr))

    def test_threads_and_subinterpreters(self):
        code = WORK + ("import threading\n"
                       "def work():\n    [[i] for i in range(20000)]\n"
                       "threads = [threading.Thread(target=work) for _ in range(8)]\n"
                       "[t.start() for t in threads]; [t.join() for t in threads]\n"
                       "try: import _interpreters as i\n"
                       "except ImportError: import _xxsubinterpreters as i\n"
                       "ids = [i.create() for _ in range(3)]\n"
                       "[i.run_string(one, 'kept = list(range(9999))') for one in ids]\n"
                       "[i.destroy(one) for one in ids]\n")
        document = self.assert_unchanged("-c", code)
        self.assertEqual({i["id"] for i in document["interpreters"]}, {0, 1, 2, 3})


if __name__ == "__main__":
    unittest.main()
