"""PIMALLOC_PROFILE as users meet it: from the start, at the end, on a signal, in turns."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import python, run

# 4 MB that a function asks for, and what waits for files of ours.  It begins when
# stacks can be read, which a short program would not wait for.
START = """
import ctypes, os, signal, sys, time
me = os.getpid()
why = ctypes.PyDLL(None).pimalloc_profile_why
why.restype = ctypes.c_char_p
def things(n=40000): return [str(i) * 20 for i in range(n)]
def files(): return sorted(n for n in os.listdir(FOLDER) if not n.startswith('.'))
def wait(condition):
    while not condition(): time.sleep(0.001)
wait(lambda: why() is None)
"""


class Profiles(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())

    def profile(self, code, form="folded", name="x", *arguments, **options):
        """Runs code under a profile; stderr is empty."""
        options.setdefault("PIMALLOC_PROFILE_PERIOD", "16K")
        done = python("-W", "ignore", *arguments, "-c", f"FOLDER = {str(self.folder)!r}\n" + START + code,
                      PIMALLOC_PROFILE=f"{form}:{self.folder}/{name}", **options)
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        return done

    def bytes_of(self, name, part):
        lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        return sum(int(line.rpartition(" ")[2]) for line in lines if part in line)

    def test_what_is_live_when_python_begins_to_end(self):
        self.profile("kept = things()\nthings()")
        self.assertEqual(self.files(), ["x"])
        live = self.bytes_of("x", "things (<string>:")
        self.assertGreater(live, 3 << 20)
        self.assertLess(live, 10 << 20)

    def test_each_form(self):
        for form, begin in (("html", b"<!"), ("pprof", b"\x1f\x8b"), ("folded", b"main;"),
                            ("speedscope", b"{")):
            self.profile("kept = things()", form, form)
            self.assertTrue((self.folder / form).read_bytes().lower().startswith(begin), form)

    def test_the_name_that_is_chosen_without_one(self):
        work = self.folder / "100%pure"
        work.mkdir()
        for form, ending in (("html", "html"), ("1", "html"), ("pprof", "pb.gz"),
                             ("folded", "folded"), ("speedscope", "speedscope.json")):
            done = run(sys.executable, "-c", "import os; os.chdir('/')", PIMALLOC_PROFILE=form,
                       popen={"cwd": work})
            self.assertEqual((done.status, done.stderr), (0, ""), str(done))
            path = work / f"pimalloc-{done.pid}.{ending}"
            self.assertTrue(path.exists(), list(work.iterdir()))
            path.unlink()

    def test_none(self):
        for value in ("0", ""):
            done = python("-c", "pass", PIMALLOC_PROFILE=value, PIMALLOC_PROFILE_EVERY="1",
                          popen={"cwd": self.folder})
            self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual(self.files(), [])

    def test_a_bad_value_is_reported_once_and_python_runs(self):
        for name, value in (("PROFILE", "svg"), ("PROFILE", "html:"), ("PROFILE_EVERY", "0"),
                            ("PROFILE_PERIOD", "1")):
            done = python("-c", "print('out')", popen={"cwd": self.folder},
                          **{f"PIMALLOC_{name}": value})
            self.assertEqual((done.status, done.stdout), (0, "out\n"), str(done))
            self.assertEqual(len(done.ours), 1, str(done))
            self.assertIn(f"bad value in PIMALLOC_{name}=", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, str(done))

    def test_a_folder_that_cannot_be_written(self):
        done = python("-c", "raise SystemExit(4)", PIMALLOC_PROFILE=f"html:{self.folder}/none/x")
        self.assertEqual((done.status, len(done.ours)), (4, 1), str(done))
        self.assertIn("the profile could not be written to", done.stderr)

    def test_a_python_that_is_not_served(self):
        done = python("-c", "print('out')", PIMALLOC_PROFILE=f"html:{self.folder}/x",
                      PYTHONMALLOC="malloc")
        self.assertEqual((done.status, done.stdout, len(done.ours)), (0, "out\n", 1), str(done))
        self.assertIn(", PIMALLOC_PROFILE does nothing: ", done.stderr)
        self.assertEqual(self.files(), [])

    def test_an_end_that_python_does_not_see(self):
        """os._exit() writes nothing, and the process's end is enough where atexit is broken."""
        self.profile("kept = things()\nos._exit(0)")
        self.assertEqual(self.files(), [])
        self.profile("import atexit\natexit._clear()\nkept = things()")
        self.assertEqual(self.files(), ["x"])

    def test_programs_own_functions_at_exit_come_first(self):
        self.profile("import atexit\natexit.register(lambda: setattr(sys, 'kept', things()))")
        self.assertGreater(self.bytes_of("x", "things (<string>:"), 3 << 20)

    def test_children_write_files_of_their_own(self):
        code = ("kept = things()\npid = os.fork()\n"
                "if pid == 0:\n    kept.clear(); kept += things(20000)\n"
                "else:\n    os.waitpid(pid, 0)\n"
                "print(pid)\n")
        done = self.profile(code, name="%p")
        child = next(word for word in done.stdout.split() if word != "0")
        self.assertEqual(self.files(), sorted([str(done.pid), child]))
        self.assertGreater(self.bytes_of(str(done.pid), "things"), 3 << 20)
        own = self.bytes_of(child, "things")
        self.assertGreater(own, 1 << 20)
        self.assertLess(own, 3 << 20)

    def test_a_childs_file_is_not_the_parents(self):
        code = ("kept = things()\n"
                "if os.fork() == 0: sys.exit()\nos.wait()\n"
                "assert files() == [], files()\n")
        self.profile(code)
        self.assertEqual(self.files(), ["x"])

    def test_a_signal(self):
        code = ("kept = things()\n"
                "for n in range(1, 4):\n"
                "    os.kill(me, signal.SIGUSR1)\n"
                "    wait(lambda: f'x{n}' in files())\n")
        self.profile(code, name="x%n", PIMALLOC_STATS="", PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual(self.files(), ["x1", "x2", "x3", "x4"])
        for name in self.files():
            self.assertGreater(self.bytes_of(name, "things"), 3 << 20)

    def test_a_signal_asks_for_figures_too_where_they_are_wanted(self):
        code = ("os.kill(me, signal.SIGUSR1)\n"
                "wait(lambda: files() == ['stats', 'x'])\n")
        self.profile(code, PIMALLOC_STATS=f"json:{self.folder}/stats",
                     PIMALLOC_STATS_SIGNAL="USR1")

    def test_turns_of_which_the_last_stay(self):
        code = "kept = things()\nwait(lambda: 'x4' in files())\nwait(lambda: len(files()) == 2)"
        self.profile(code, name="x%n", PIMALLOC_PROFILE_EVERY="1:2")
        names = self.files()
        self.assertEqual(len(names), 2, names)
        self.assertGreaterEqual(int(names[1][1:]), 5)
        self.assertEqual(int(names[0][1:]) + 1, int(names[1][1:]))

    def test_signs_in_names(self):
        self.profile("pass", name="%%n-%%p-%n-%d")
        self.assertEqual(self.files(), ["%n-%p-1-%d"])

    def test_interpreters_of_a_program(self):
        name = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
        code = (f"import {name} as it\n"
                "one = it.create()\n"
                "it.run_string(one, 'kept = [str(i) * 20 for i in range(40000)]')\n")
        self.profile(code)
        self.assertGreater(self.bytes_of("x", "interp 1;"), 3 << 20)


if __name__ == "__main__":
    unittest.main()
