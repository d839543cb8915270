"""A recording of a whole program: its file, its children, and what goes wrong."""

import os
import struct
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import python

HEADER = struct.Struct("<8I2Q")  # hooks/record_format.h
MAGIC = 0x1A676F4C
HEAD, EVENTS, END = 1, 2, 3
FORK = """
import os
child = os.fork()
if child == 0:
    kept = [[i] for i in range(200000)]
    raise SystemExit()
print(child, os.waitpid(child, 0)[1])
"""


def blocks(path):
    """[(kind, content)] of a file that has nothing but whole blocks."""
    data = path.read_bytes()
    found, at = [], 0
    while at < len(data):
        magic, kind, size, *_ = HEADER.unpack_from(data, at)
        assert magic == MAGIC, (path, at)
        at += HEADER.size
        found.append((kind, data[at:at + size]))
        at += (size + 7) // 8 * 8
    return found


def head(path):
    return dict(line.split(" ", 1) for line in blocks(path)[0][1].decode().splitlines())


class Record(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def record(self, code, name="log", **options):
        return python("-c", code, PIMALLOC_RECORD=f"{self.folder}/{name}", **options)

    def assert_whole(self, path, pid=None, at_least=1):
        kinds = [kind for kind, _ in blocks(path)]
        self.assertEqual((kinds[0], kinds[-1]), (HEAD, END), kinds)
        self.assertGreaterEqual(kinds.count(EVENTS), at_least)
        if pid is not None:
            self.assertEqual(head(path)["process"], str(pid))

    def test_a_program_is_recorded_to_its_end(self):
        done = self.record(support.WORK)
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assert_served(done)
        self.assert_whole(self.folder / "log", done.pid, at_least=2)
        said = head(self.folder / "log")
        self.assertEqual(said["python"], sys.version.split()[0])
        self.assertEqual(said["page"], str(os.sysconf("SC_PAGE_SIZE")))
        self.assertEqual(said["version"], "1")

    def test_without_a_name_of_its_own_a_child_has_no_log(self):
        done = self.record(FORK)
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["log"])
        self.assert_whole(self.folder / "log", done.pid)

    def test_with_one_it_has_one(self):
        done = self.record(FORK, "%p")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        child, status = done.stdout.split()
        self.assertEqual(status, "0")
        self.assertEqual({path.name for path in self.folder.iterdir()}, {str(done.pid), child})
        self.assert_whole(self.folder / str(done.pid), done.pid)
        self.assert_whole(self.folder / child, child, at_least=2)

    def test_a_program_that_is_started_does_not_take_the_file(self):
        done = self.record("import subprocess, sys\n"
                           "subprocess.run([sys.executable, '-c', 'pass'], check=True)\n")
        self.assertEqual(done.status, 0, str(done))
        self.assertEqual(len(done.ours), 1, str(done))
        self.assertIn("another process records into that file; %p", done.ours[0])
        self.assert_whole(self.folder / "log", done.pid)

    def test_interpreters_that_come_and_go(self):
        done = self.record("try:\n import _interpreters as it\n"
                           "except ImportError:\n import _xxsubinterpreters as it\n"
                           "for _ in range(3):\n"
                           " i = it.create(); it.run_string(i, 'x = [1] * 99'); it.destroy(i)\n")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assert_whole(self.folder / "log", done.pid)

    def test_a_file_that_cannot_be_is_named(self):
        for name, why in (("none/log", "No such file or directory"), ("", "Is a directory")):
            done = self.record("print('runs')", name)
            self.assertEqual((done.status, done.stdout), (0, "runs\n"), str(done))
            self.assertEqual(len(done.ours), 1, str(done))
            self.assertIn(f"nothing is recorded: {why}", done.ours[0])

    def test_a_full_disk_ends_the_recording_and_not_the_program(self):
        done = self.record(support.WORK + "print('runs')", shell_limits="ulimit -f 100",
                           PIMALLOC_STATS="text")
        self.assertEqual((done.status, done.stdout), (0, "runs\n"), str(done))
        self.assertEqual(sum("ends here: File too large; the program goes on" in line
                             for line in done.ours), 1, str(done))

    def test_who_is_not_served_is_told(self):
        done = self.record("print('runs')", PYTHONMALLOC="malloc")
        self.assertEqual((done.status, done.stdout), (0, "runs\n"), str(done))
        self.assertIn(", PIMALLOC_RECORD does nothing: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
