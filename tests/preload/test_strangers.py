"""Programs that never have Python notice nothing."""

import re
import shutil
import unittest

import support
from support import PRELOAD, build, run

OPTIONS = {"PIMALLOC_STATS": "text", "PIMALLOC_VERBOSE": "1", "PIMALLOC_NO_SUCH": "1",
           "PIMALLOC_STATS_SIGNAL": "USR1", "PIMALLOC_REGION": "nonsense"}


def tools():
    commands = [["ls", "-l", "/usr"], ["sh", "-c", "echo $((6 * 7)); exit 5"],
                ["perl", "-MPOSIX", "-e", "print setlocale(LC_CTYPE), $$ > 0; exit 4"],
                ["bash", "-c", "locale; printf '%s\\n' ä"], ["awk", "BEGIN { print 6 * 7 }"],
                ["sort", "/etc/passwd"],
                ["sh", "-c", "kill -TERM $$"], ["false"]]
    for command in commands:
        path = shutil.which(command[0])
        if path:
            yield [path, *command[1:]]


class Strangers(support.TestCase):
    def test_ordinary_programs(self):
        for command in tools():
            with self.subTest(command[0]):
                self.assert_untouched(command, None)
                plain = run(*command, libraries=())
                full = run(*command, **OPTIONS)
                self.assertEqual((full.status, full.stdout, full.stderr),
                                 (plain.status, plain.stdout, plain.stderr))

    def test_what_a_program_may_notice(self):
        plain = run(build("STRANGER"), libraries=())
        self.assertEqual(plain.status, 7)
        self.assert_untouched([build("STRANGER")], None)
        full = run(build("STRANGER"), **OPTIONS)
        self.assertEqual((full.status, full.stdout, full.stderr),
                         (plain.status, plain.stdout, plain.stderr))

    def test_locks_of_ours_are_in_nobodys_way(self):
        """Threads, constructors and forked children ask for the locale."""
        for libraries in ((), None):
            more = {} if libraries is None else {"libraries": libraries}
            done = run(build("LOCKS"), build("ASKS"), **more)
            self.assertEqual((done.status, done.stdout), (0, "fine\n"), str(done))

    def test_no_system_calls_of_ours(self):
        if not shutil.which("strace"):
            self.skipTest("there is no strace")
        empty = build("GUARD")  # a library of about as little as can be mapped

        def calls(library):
            done = run("strace", "-f", "-qq", "-o", "/dev/stderr", "-E", f"LD_PRELOAD={library}",
                       "/bin/ls", "/", libraries=(), PIMALLOC_STATS=None)
            self.assertEqual(done.status, 0, str(done))
            names = re.findall(r"^\d+ +(\w+)\(", done.stderr, re.M)
            self.assertIn("mmap", names)
            # What belongs to mapping: as many segments as a file has.
            mapping = {"mmap", "mprotect", "openat", "read", "close", "fstat", "newfstatat",
                       "pread64", "munmap", "brk"}
            return [name for name in names if name not in mapping]

        self.assertEqual(calls(PRELOAD), calls(empty))

    def test_no_threads_and_no_signals_of_ours(self):
        code = "grep -E '^(Threads|Sig(Cgt|Blk|Ign))' /proc/self/status"
        plain = run("/bin/sh", "-c", code, libraries=())
        self.assertEqual(run("/bin/sh", "-c", code, **OPTIONS).stdout, plain.stdout)
        self.assertIn("Threads:\t1", plain.stdout)


if __name__ == "__main__":
    unittest.main()
