#!/usr/bin/env python3
"""What examples/tenants does with its words: test_tenants.py PROGRAM."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)


def run(*words):
    return subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


class Words(unittest.TestCase):
    def test_bad_ones_are_refused(self):
        for words in (["--bogus"], ["-h"], ["--soft=abc"], ["--soft="], ["--soft=0"],
                      ["--soft=-1"], ["--soft=64M"], ["--soft=99999999999999999999"],
                      ["--soft=80", "--hard=40"], ["--hard=31"], ["--help", "x"]):
            done = run(*words)
            with self.subTest(words):
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("Usage: tenants ", done.stderr)

    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Usage: tenants ", done.stdout)

    def test_limits_and_columns(self):
        with tempfile.TemporaryDirectory() as folder:
            long, short = Path(folder, "a-script-with-a-long-name.py"), Path(folder, "-s.py")
            for path in (long, short):
                path.write_text("x = bytes(50 << 20)\n", encoding="utf-8")
            done = run("--soft=100", "--", str(long), str(short))
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = done.stdout.splitlines()[:3]
            self.assertTrue(rows[1].startswith(f"{long} "), rows)
            self.assertEqual({row.index(word) for row, word in zip(rows, ("outcome", "done", "done"))},
                             {rows[0].index("outcome")})
            self.assertIn(" MemoryError ", run("--soft=40", "--hard=40", str(long)).stdout)


if __name__ == "__main__":
    unittest.main()
