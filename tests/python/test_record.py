"""record_start() and record_stop()."""

import os
import tempfile
import threading
import unittest
from pathlib import Path

import pimalloc
import support


@support.needs_active
class Record(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "log"

    def test_a_recording_has_a_begin_and_an_end(self):
        self.assertIsNone(pimalloc.record_start(self.path))
        kept = [[i] for i in range(20000)]
        with self.assertRaisesRegex(RuntimeError, "is on already"):
            pimalloc.record_start(str(self.path) + "2")
        self.assertIsNone(pimalloc.record_stop())
        size = self.path.stat().st_size
        self.assertGreater(size, 2 * len(kept))
        self.assertEqual(self.path.read_bytes()[:4], b"Log\x1a")
        kept = [[i] for i in range(20000)]
        self.assertEqual(self.path.stat().st_size, size)
        with self.assertRaisesRegex(RuntimeError, "there is no recording"):
            pimalloc.record_stop()

    def test_of_one_interpreter(self):
        pimalloc.record_start(os.fsencode(self.path), interp=pimalloc.PROCESS)
        kept = [[i] for i in range(20000)]
        pimalloc.record_stop()
        self.assertLess(self.path.stat().st_size, len(kept))

    def test_threads(self):
        pimalloc.record_start(self.path)
        threads = [threading.Thread(target=lambda: [[i] for i in range(50000)])
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pimalloc.record_stop()
        self.assertGreater(self.path.stat().st_size, 4 * 50000 * 4)

    def test_errors(self):
        with self.assertRaises(FileNotFoundError) as caught:
            pimalloc.record_start(self.path / "x")
        self.assertEqual(os.fsdecode(caught.exception.filename), str(self.path / "x"))
        with self.assertRaises(OSError):
            pimalloc.record_start("/dev/null")
        with self.assertRaises(ValueError):
            pimalloc.record_start("")
        with self.assertRaises(ValueError):
            pimalloc.record_start(self.path, -3)
        with self.assertRaises(ValueError):
            pimalloc.record_start("a\0b")
        for wrong in (1, None, [], {}):
            with self.assertRaises(TypeError):
                pimalloc.record_start(wrong)
        with self.assertRaises(TypeError):
            pimalloc.record_start()
        with self.assertRaises(TypeError):
            pimalloc.record_stop(1)
        self.assertFalse(self.path.exists())


if __name__ == "__main__":
    support.main()
