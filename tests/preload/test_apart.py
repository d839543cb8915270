"""Child processes that are no place for us: of another C library, in another root, or
left alone by PIMALLOC_CHILDREN=0."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import GUARD, PRELOAD, WORK, build, python, run

LEFT = "import os; print('left', [n for n in os.environ if n.startswith(('LD_PRELOAD', 'PIM'))])\n"
ACTIVE = ("import ctypes, os\n"
          "try: print('active', ctypes.CDLL(None).pimalloc_active(), flush=True)\n"
          "except AttributeError: print('active no', flush=True)\n")

# What a program of C sees; in musl's, too, setlocale() is ours.
SEES = r"""
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *arg) { free(malloc(1000)); return arg; }
int main(void)
{
    pthread_t thread;
    int status = 0;
    printf("%s, locale %s\n", getenv("LD_PRELOAD") ? "preload set" : "clean",
           setlocale(LC_CTYPE, NULL));
    fflush(stdout);
    if (pthread_create(&thread, NULL, work, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        exit(3);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}
"""


class Apart(support.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def compile(self, compiler, *flags):
        source, program = self.folder / "sees.c", self.folder / "sees"
        source.write_text(SEES, encoding="ascii")
        if not shutil.which(compiler):
            self.skipTest(f"there is no {compiler}")
        done = subprocess.run([compiler, "-o", program, source, *flags], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"{compiler} does not work here: {done.stderr}")
        return program

    def start_from_python(self, *command, **changes):
        """A program as a child of a Python that is served."""
        code = WORK + f"import subprocess, sys; sys.exit(subprocess.call({[*map(str, command)]}))\n"
        done = python("-c", code, **changes)
        self.assert_served(done)
        return done


class ForeignLibrary(Apart):
    def test_program_of_musl_runs(self):
        program = self.compile("musl-gcc")
        for done in (run(program), self.start_from_python(program)):
            self.assertEqual((done.status, done.stdout, done.stderr),
                             (3, "preload set, locale C\n", ""), str(done))
        done = self.start_from_python(program, PIMALLOC_CHILDREN="0")
        self.assertEqual((done.status, done.stdout), (3, "clean, locale C\n"), str(done))


class AnotherRoot(Apart):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0 or not shutil.which("chroot"):
            self.skipTest("only root can change the root")
        self.program = self.compile("cc")
        loader = re.search(r"(/\S*/ld-\S+)", subprocess.run(
            ["ldd", self.program], capture_output=True, text=True, check=False).stdout)
        libc = re.search(r"=> (/\S*/libc\.so\S*)", subprocess.run(
            ["ldd", self.program], capture_output=True, text=True, check=False).stdout)
        if not loader or not libc:
            self.skipTest("ldd does not tell what a program needs")
        for path in (loader[1], libc[1]):
            copy = self.folder / "root" / path.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        shutil.copy(self.program, self.folder / "root")

    def test_loader_there_complains_unless_children_are_left_alone(self):
        command = ("chroot", self.folder / "root", "/sees")
        done = self.start_from_python(*command)
        self.assertEqual((done.status, done.stdout), (3, "preload set, locale C\n"), str(done))
        self.assertIn("cannot be preloaded", done.stderr)
        done = self.start_from_python(*command, PIMALLOC_CHILDREN="0")
        self.assertEqual((done.status, done.stdout, done.stderr),
                         (3, "clean, locale C\n", ""), str(done))


class LeftAlone(support.TestCase):
    """PIMALLOC_CHILDREN=0"""

    OPTIONS = {"PIMALLOC_CHILDREN": "0", "PIMALLOC_LIMIT": "512M"}

    def assert_left_alone(self, done, *lines):
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual(done.stdout.splitlines(), ["left []", *lines], str(done))
        self.assert_served(done)
        self.assertEqual(list(done.figures), [done.pid])

    def test_children_of_each_kind(self):
        child = [sys.executable, "-c", ACTIVE + LEFT]
        for start in (f"subprocess.run({child}, check=True)",
                      f"os.system(shlex.join({child}))",
                      f"os.waitpid(os.posix_spawn({sys.executable!r}, {child}, os.environ), 0)"):
            done = python("-c", WORK + LEFT + "import shlex, subprocess, sys\n"
                          f"sys.stdout.flush(); {start}\n", **self.OPTIONS)
            self.assert_left_alone(done, "active no", "left []")

    def test_other_libraries_and_variables_stay(self):
        code = ("import subprocess; print(subprocess.run(['/bin/sh', '-c', "
                "'echo $LD_PRELOAD $MIMALLOC_X $PIMALLOCATOR'], capture_output=True, text=True)"
                ".stdout.strip())\n")
        link = self.enterContext(tempfile.TemporaryDirectory()) + "/linked.so"
        os.symlink(PRELOAD, link)
        for before, after in (((GUARD, PRELOAD), GUARD), ((PRELOAD, GUARD), GUARD),
                              ((GUARD, link, GUARD), f"{GUARD}:{GUARD}")):
            done = python("-c", WORK + LEFT + code, libraries=before, MIMALLOC_X="x",
                          PIMALLOCATOR="y", **self.OPTIONS)
            self.assertEqual(done.status, 0, str(done))
            self.assertEqual(done.stdout.splitlines()[1:], [f"{after} x y"], str(done))
            if link not in before:  # beside it there is no mimalloc
                self.assertEqual(done.stderr, "")
                self.assert_served(done)

    def test_a_mimalloc_goes_with_us_only_if_it_came_with_us(self):
        mimalloc = Path(PRELOAD).with_name("pimalloc") / "libmimalloc.so.3"
        if not mimalloc.exists():
            self.skipTest("the build has no mimalloc beside it")
        for before, after in (((PRELOAD, mimalloc), ""), ((mimalloc, PRELOAD), str(mimalloc))):
            done = python("-c", WORK + "import os; print(os.environ.get('LD_PRELOAD', ''))",
                          libraries=tuple(map(str, before)), **self.OPTIONS)
            self.assertEqual((done.status, done.stdout), (0, after + "\n"), str(done))

    def test_what_is_executed_in_its_place_is_served(self):
        command = [sys.executable, "-c", WORK + LEFT]
        for way in (["env"], ["/bin/sh", "-c", 'exec "$@"', "sh"],
                    ["/bin/sh", "-c", 'exec env "$@"', "sh"]):
            self.assert_left_alone(run(*way, *command, **self.OPTIONS))

    def test_children_of_programs_without_python_are_left_alone(self):
        done = run("/bin/sh", "-c", '"$@"; "$@"; exit 5', "sh", sys.executable, "-c", ACTIVE + LEFT,
                   PIMALLOC_VERBOSE="1", **self.OPTIONS)
        self.assertEqual((done.status, done.figures), (5, {}), str(done))
        self.assertEqual(done.stdout, "active 0\nleft []\n" * 2, str(done))
        self.assertEqual(len(done.why_not), 2, str(done))
        self.assertIn("PIMALLOC_CHILDREN=0 of a parent process", done.why_not[0])

    def test_forked_children_are_of_the_same_program(self):
        done = python("-W", "ignore", "-c", WORK + "import os\npid = os.fork()\n" + ACTIVE +
                      "if pid: assert os.waitpid(pid, 0)[1] == 0\n", **self.OPTIONS)
        self.assertEqual((done.status, done.stdout), (0, "active 1\nactive 1\n"), str(done))
        self.assertEqual(len(done.figures), 2)

    def test_options_stay_in_force_in_a_python_that_comes_late_and_again(self):
        code = WORK + ("import os\n"
                       "print('seen', os.environ.get('LD_PRELOAD'), flush=True)\n"
                       "os.system('echo left $LD_PRELOAD $PIMALLOC_LIMIT')\n"
                       "try: bytes(600 << 20)\nexcept MemoryError: print('limited', flush=True)\n")
        done = run(build("HOST"), build("LIBPYTHON"), "initialize", "2", code, **self.OPTIONS)
        self.assertEqual(done.status, 0, str(done))
        lines = [line for line in done.stdout.splitlines() if not line.startswith("cycle")]
        self.assertEqual(lines, ["seen None", "left", "limited"] * 2, str(done))
        self.assertEqual(len(re.findall("active 1", done.stdout)), 2)
        self.assert_served(done)

    def test_python_that_is_not_served_leaves_them_alone_too(self):
        done = python("-c", LEFT, PYTHONMALLOC="malloc", **self.OPTIONS)
        self.assertEqual((done.status, done.stdout, done.figures), (0, "left []\n", {}),
                         str(done))
        self.assertIn("PIMALLOC_LIMIT does nothing: ", done.stderr)

    def test_values(self):
        done = python("-c", LEFT, PIMALLOC_CHILDREN="1")
        self.assertEqual((done.status, done.stderr), (0, ""))
        self.assertIn("LD_PRELOAD", done.stdout)
        done = python("-c", LEFT, PIMALLOC_CHILDREN="none")
        self.assertIn("bad value in PIMALLOC_CHILDREN=none; valid is 0 or 1", done.stderr)
        self.assertIn("LD_PRELOAD", done.stdout)


if __name__ == "__main__":
    unittest.main()
