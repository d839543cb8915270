"""Closed descriptors, little memory, few files: what poor processes have."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import WORK, build, python, run


def closing(what, *command, **options):
    """Runs a command with descriptors closed: closing("2>&-", ...)."""
    return run("/bin/sh", "-c", f'exec "$@" {what}', "sh", *command, **options)


class Descriptors(support.TestCase):
    def test_closed_at_the_start(self):
        for what in ("<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            for stats in ("text", "json:/dev/null"):
                with self.subTest(what=what, stats=stats):
                    plain = closing(what, sys.executable, "-c", WORK, libraries=())
                    done = closing(what, sys.executable, "-c", WORK, PIMALLOC_STATS=stats,
                                   PIMALLOC_VERBOSE="1")
                    self.assertEqual(done.status, plain.status, str(done))

    def assert_file_is_left_alone(self, command, code, **changes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "data")
            code = (WORK + "import os\n"
                    f"fd = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)\n"
                    "assert fd == 2, fd\n"
                    "os.write(fd, b'data')\n" + code)
            done = closing("2>&-", *command, code, **changes)
            self.assertEqual((done.status, path.read_bytes()), (0, b"data"), str(done))

    def test_a_file_of_the_program_in_the_place_of_stderr(self):
        signal = "import signal, time; os.kill(os.getpid(), signal.SIGUSR1); time.sleep(0.2)\n"
        command = [sys.executable, "-c"]
        for changes in ({"PIMALLOC_STATS": "text"}, {"PIMALLOC_STATS": "json"},
                        {"PIMALLOC_STATS": "json:/none/here"}, {"PIMALLOC_STATS_SIGNAL": "USR1"},
                        {"PIMALLOC_VERBOSE": "1"}):
            with self.subTest(changes):
                self.assert_file_is_left_alone(
                    command, signal if "PIMALLOC_STATS_SIGNAL" in changes else "", **changes)

    def test_the_same_in_programs_that_load_python_later(self):
        for changes in ({"PIMALLOC_STATS": "text"}, {"PIMALLOC_VERBOSE": "1"}):
            for way in ("initialize", "leave"):
                with self.subTest(changes=changes, way=way):
                    self.assert_file_is_left_alone(
                        [build("HOST"), build("LIBPYTHON"), way, "1"], "", **changes)

    def test_stderr_that_the_program_sent_elsewhere(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "log")
            done = python("-c", WORK + f"import os\nfd = os.open({str(path)!r}, "
                          "os.O_WRONLY | os.O_CREAT)\nos.dup2(fd, 2)\n", PIMALLOC_STATS="text")
            self.assertEqual((done.status, done.stderr), (0, ""), str(done))
            self.assertIn(", active, ", path.read_text(encoding="utf-8"))

    def test_no_descriptor_of_ours_stays_open(self):
        code = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"
        for changes in ({}, {"PIMALLOC_STATS_SIGNAL": "USR1"}, {"PIMALLOC_VERBOSE": "1"}):
            plain = python("-c", code, libraries=())
            done = python("-c", code, **changes)
            self.assertEqual(done.stdout, plain.stdout)

    def test_few_descriptors(self):
        for count in (3, 4, 5, 8):
            with self.subTest(count):
                plain = python("-c", WORK, shell_limits=f"ulimit -n {count}", libraries=())
                done = python("-c", WORK, shell_limits=f"ulimit -n {count}")
                if plain.status == 0:
                    self.assertEqual((done.status, done.stdout, done.stderr), (0, "", ""))
                if count >= 5:
                    self.assert_served(done)

    def test_none_left_at_the_end(self):
        code = WORK + ("import os, sys\n"
                       "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
                       "try:\n    while True: os.dup(0)\n"
                       "except OSError: sys.exit(4)\n")
        done = python("-c", code)
        self.assertEqual((done.status, len(done.ours)), (4, 1), str(done))
        self.assertIn("could not be written", done.stderr)


class Memory(support.TestCase):
    def test_little_address_space(self):
        for megabytes in (512, 256):
            done = python("-c", WORK, shell_limits=f"ulimit -v {megabytes << 10}",
                          PIMALLOC_VERBOSE="1")
            self.assertEqual(done.status, 0, str(done))
            self.assert_served(done)

    def test_memory_errors_are_pythons(self):
        code = WORK + ("import sys\n"
                       "kept = []\n"
                       "try:\n    while True: kept.append(bytearray(1 << 20))\n"
                       "except MemoryError: kept.clear(); print('caught')\n"
                       "try:\n    while True: kept.append([0] * 50)\n"
                       "except MemoryError: kept.clear(); print('caught')\n"
                       "len([[i] for i in range(20000)])\n")
        done = python("-c", code, shell_limits=f"ulimit -v {512 << 10}")
        self.assertEqual((done.status, done.stdout), (0, "caught\n" * 2), str(done))
        self.assert_served(done)

    def test_any_limit_does_no_harm(self):
        for megabytes in (64, 80, 96, 128, 200):
            limits = f"ulimit -v {megabytes << 10}"
            plain = python("-c", "print(1)", shell_limits=limits, libraries=())
            done = python("-c", "print(1)", shell_limits=limits)
            if plain.status == 0:
                with self.subTest(megabytes):
                    self.assertEqual((done.status, done.stdout), (0, "1\n"), str(done))

    def test_a_small_stack(self):
        done = python("-c", WORK, shell_limits="ulimit -s 256", PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual(done.status, 0, str(done))
        self.assert_served(done)

    def test_no_more_threads(self):
        if os.geteuid() == 0:
            self.skipTest("root is not limited")
        done = python("-c", WORK, shell_limits="ulimit -u 1", PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual((done.status, len(done.ours)), (0, 1), str(done))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_file_systems_that_are_read_only(self):
        # /tmp may be where the library under test is, so it stays in sight.
        mounts = support.with_mounts("mount --bind /tmp /tmp && "
                                     "mount -o remount,bind,ro /tmp && "
                                     "mount -t tmpfs -o ro none /dev/shm")
        done = run(*mounts, sys.executable, "-c", WORK, PIMALLOC_STATS="text")
        if done.status == 77:
            self.skipTest("mounting is not allowed here")
        self.assertEqual(done.status, 0, str(done))
        self.assertIn(", active, ", done.stderr)


if __name__ == "__main__":
    unittest.main()
