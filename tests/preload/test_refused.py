"""Where pimalloc must not act, Python runs as if it were not there."""

import os
import shutil
import sys
import tempfile
import unittest

import support
from support import WORK, build, python, run

MALLOC, DEBUG, PYMALLOC = 2, 3, 5  # of PyMemAllocatorName
WAYS = ["preinit", "isolated-preinit"]
VALUES = ["malloc", "malloc_debug", "pymalloc", "pymalloc_debug", "debug", "default"]
if sys.version_info >= (3, 13):
    VALUES += ["mimalloc", "mimalloc_debug"]


def old_pythons():
    """CPythons of pyenv that are older than 3.12."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for name in ("3.11.7", "3.10.13"):
        path = os.path.join(root, "versions", name, "bin/python3")
        if os.access(path, os.X_OK):
            yield path


class Chosen(support.TestCase):
    """Somebody chose another allocator."""

    def test_by_the_variable(self):
        for value in VALUES:
            with self.subTest(value):
                told = self.assert_untouched([sys.executable, "-c", WORK], "PYTHONMALLOC chooses",
                                             PYTHONMALLOC=value)
                self.assertEqual(len(told.ours), 1, str(told))

    def test_a_bad_value_is_pythons_to_report(self):
        told = self.assert_untouched([sys.executable, "-c", WORK], "PYTHONMALLOC chooses",
                                     PYTHONMALLOC="none")
        self.assertIn("unknown allocator", told.stderr)

    def test_an_empty_variable_chooses_nothing(self):
        done = run("/bin/sh", "-c", 'PYTHONMALLOC= PYTHONDEVMODE= exec "$@"', "sh",
                   sys.executable, "-c", WORK)
        self.assert_served(done)

    def test_options_that_make_python_ignore_it(self):
        for value in VALUES:
            for option in ("-E", "-I", "-sE", "-BI", "-bI"):
                with self.subTest(value=value, option=option):
                    done = python(option, "-c", WORK, PYTHONMALLOC=value, PYTHONDEVMODE="1")
                    self.assert_served(done)
                    self.assertEqual(done.stderr, "")

    def test_development_mode(self):
        for option in (["-X", "dev"], ["-Xdev"], ["-E", "-X", "dev"], ["-IX", "dev"],
                       ["-W", "ignore", "-Xdev"], ["-X", "dev=1"],
                       ["--check-hash-based-pycs", "always", "-X", "dev"]):
            with self.subTest(option):
                told = self.assert_untouched([sys.executable, *option, "-c", WORK],
                                             "development mode")
                self.assertEqual(len(told.ours), 1, str(told))

    def test_development_mode_by_the_variable(self):
        for value in ("1", "0"):
            self.assert_untouched([sys.executable, "-c", WORK], "development mode",
                                  PYTHONDEVMODE=value)

    def test_what_is_no_option_of_pythons(self):
        for arguments in (["-c", WORK, "-X", "dev"], ["-", "-X", "dev"], ["-m", "abc", "-Xdev"],
                          ["-X", "faulthandler", "-c", WORK, "-Xdev"]):
            with self.subTest(arguments):
                self.assert_served(python(*arguments, stdin=WORK), blocks=2000)

    def test_both_reasons_name_the_one_that_counts(self):
        told = self.assert_untouched([sys.executable, "-I", "-X", "dev", "-c", WORK],
                                     "development mode", PYTHONMALLOC="malloc")
        self.assertNotIn("PYTHONMALLOC", "".join(told.why_not))

    def test_by_a_hosts_preconfig(self):
        for allocator in (MALLOC, DEBUG, PYMALLOC):
            for way in WAYS:
                for name, library in (("HOST", "LIBPYTHON"), ("LINKED_HOST", None)):
                    with self.subTest(allocator=allocator, way=way, host=name):
                        library = build(library) if library else "self"
                        self.assert_untouched(
                            [build(name), library, way, "1", WORK, f"allocator={allocator}"],
                            "PyPreConfig")

    def test_by_a_host_that_sets_its_own(self):
        self.assert_untouched([build("HOST"), build("LIBPYTHON"), "initialize", "1", WORK,
                               "own-allocator"], "allocator of its own")
        self.assert_untouched([build("LINKED_HOST"), "self", "initialize", "1", WORK,
                               "own-allocator"], "allocator")


class Impossible(support.TestCase):
    """There is nothing to act with, or on."""

    def test_no_mimalloc(self):
        for path in ("/none", "/etc/hostname", "/", build("GUARD")):
            with self.subTest(path):
                told = self.assert_untouched([sys.executable, "-c", WORK], "mimalloc",
                                             PIMALLOC_MIMALLOC=path)
                self.assertIn("PIMALLOC_MIMALLOC", told.why_not[0])
                self.assertEqual(len(told.ours), 1, str(told))

    def test_an_old_mimalloc(self):
        for version in ("0", "212", "30599"):
            told = self.assert_untouched([sys.executable, "-c", WORK], "3.6 or newer",
                                         PIMALLOC_MIMALLOC=build("OLD_MIMALLOC"),
                                         STUB_MI_VERSION=version)
            self.assertEqual(len(told.ours), 1, str(told))

    def test_a_library_that_asks_for_the_locale_while_it_is_loaded(self):
        for command in ([sys.executable, "-c", WORK],
                        [build("HOST"), build("LIBPYTHON"), "initialize", "2", WORK]):
            self.assert_untouched(command, "mimalloc", PIMALLOC_MIMALLOC=build("BAD_MIMALLOC"))

    def test_an_old_python(self):
        pythons = list(old_pythons())
        if not pythons:
            self.skipTest("pyenv has no Python older than 3.12")
        for path in pythons:
            with self.subTest(path):
                told = self.assert_untouched([path, "-c", WORK], "older than 3.12")
                self.assertEqual(len(told.ours), 1, str(told))

    def test_a_free_threaded_python(self):
        code = ("import ctypes, os\n"
                f"python = ctypes.CDLL({build('FREE_THREADED')!r})\n"
                "print(python.start_runtime(), python.start_runtime())\n")
        pythons = list(old_pythons())
        # From a Python that is not served itself.
        if not pythons:
            self.skipTest("pyenv has no Python older than 3.12")
        plain = run(pythons[0], "-c", code, libraries=())
        self.assertEqual(plain.stdout.split(), ["0", "0"], str(plain))
        done = run(pythons[0], "-c", code, PIMALLOC_VERBOSE="1")
        self.assertEqual((done.status, done.stdout), (0, plain.stdout), str(done))
        self.assertRegex(done.why_not[-1], "free-threaded build")
        self.assertEqual(len(done.why_not), 2, str(done))  # and of the old Python

    def test_a_python_that_little_address_space_is_left_for(self):
        """where it runs without us it runs, on its own allocator if need be"""
        ourselves = 2 << 10  # to be there at all
        for kib in range(12 << 10, 92 << 10, 6 << 10):
            plain = python("-c", WORK, libraries=(), shell_limits=f"ulimit -v {kib}")
            if plain.status != 0:
                continue
            limits = f"ulimit -v {kib + ourselves}"
            with self.subTest(limits):
                done = python("-c", WORK, shell_limits=limits, PIMALLOC_VERBOSE="1")
                self.assertEqual((done.status, done.stdout), (0, plain.stdout), str(done))
                if done.why_not:
                    self.assertIn("no address space", done.why_not[0])
                    self.assertIn("ulimit -v", done.why_not[0])
                else:
                    self.assert_served(done)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Privileged(support.TestCase):
    """A program whose user is not the one whose rights it has."""

    @staticmethod
    def pretend_setuid():
        # The real user is nobody, the effective one is root: that is AT_SECURE.
        os.setresuid(65534, 0, 0)

    def test_the_loader_drops_the_library(self):
        done = python("-c", WORK, PIMALLOC_VERBOSE="1",
                      popen={"preexec_fn": self.pretend_setuid})
        self.assertEqual((done.status, done.figures, done.ours), (0, {}, []), str(done))

    def test_a_trusted_library_does_not_act(self):
        # The loader takes libraries with the setuid bit from the system's folders.  Ours
        # and its mimalloc lie over two others there, for this test's processes only.
        with tempfile.TemporaryDirectory() as folder:
            places = self.find_places()
            ours = [support.PRELOAD,
                    os.path.join(os.path.dirname(support.PRELOAD), "pimalloc/libmimalloc.so.3")]
            binds = []
            for source, place in zip(ours, places):
                copy = shutil.copy(source, os.path.join(folder, os.path.basename(source)))
                os.chmod(copy, 0o4755)
                binds.append(f"mount --bind {copy!r} {place!r}")
            code = ("import os; os.setresuid(*map(int, os.environ['IDS'].split()))\n"
                    "os.environ['LD_PRELOAD'] = os.environ['NAMES']\n"
                    f"os.execl({sys.executable!r}, 'python3', '-c', {WORK + CODE!r})")
            command = [*support.with_mounts(" && ".join(binds)), sys.executable, "-c", code]
            options = {"libraries": (), "PIMALLOC_VERBOSE": "1",
                       "NAMES": " ".join(os.path.basename(place) for place in places)}
            trusted = run(*command, IDS="0 0 0", **options)
            if trusted.status == 77:
                self.skipTest("mounting is not allowed here")
            self.assert_served(trusted)
            self.assertIn("active 1", trusted.stdout, str(trusted))
            refused = run(*command, IDS="65534 0 0", **options)
            self.assertIn("active 0", refused.stdout, str(refused))
            self.assertEqual((refused.status, refused.figures, refused.ours), (0, {}, []),
                             str(refused))

    def find_places(self):
        """Two libraries of the system that Python does not load."""
        found = []
        for folder in (f"/usr/lib/{sys.implementation._multiarch}", "/lib", "/usr/lib"):
            for name in ("libmemusage.so", "libpcprofile.so", "libc_malloc_debug.so.0",
                         "libanl.so.1"):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    found.append(path)
        if len(found) < 2:
            self.skipTest("no libraries of the system to lie over")
        return found[:2]


CODE = "print('active', __import__('ctypes').CDLL(None).pimalloc_active())"

if __name__ == "__main__":
    unittest.main()
