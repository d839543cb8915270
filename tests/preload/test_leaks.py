"""What interpreters leave is told at their ends, and can fail a process."""

import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import python

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "report"))
import check_schema  # noqa: E402

SCHEMA = check_schema.load((HERE.parents[1] / "docs/leaks.schema.json").read_text(encoding="utf-8"))

# An object that C code forgot to let go, and an interpreter that ends.
FORGET = ("import ctypes\n"
          "def forget(thing): ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))\n")
INTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def run(code):
    interp = interpreters.create()
    interpreters.run_string(interp, code)
    interpreters.destroy(interp)
"""


def leaks(document, name):
    """The blocks of a type, or of None, that are the script's own."""
    return sum(entry["blocks"] for entry in document["leaks"]
               if entry["type"] == name and not entry["pythons"])


class Leaks(support.TestCase):
    def documents(self, code, **options):
        """Runs code and returns the documents in the order of the ends."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "left.jsonl"
            done = python("-c", code, PIMALLOC_LEAKS=f"json:{path}", **options)
            self.assertEqual((done.status, done.stderr), (0, ""), str(done))
            self.assert_served(done, blocks=100)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for line in lines:
            self.assertTrue(line.endswith("\n"), line)
            self.assertEqual(check_schema.check_text(line, SCHEMA), [], line)
            document = json.loads(line)
            total = sum(entry["bytes"] for entry in document["leaks"])
            self.assertEqual(total + document["more"]["bytes"], document["bytes"])
        return [json.loads(line) for line in lines]

    def test_schema_itself(self):
        check_schema.lint(SCHEMA, SCHEMA)

    def test_main_is_told_at_the_end_of_the_process(self):
        # CPython 3.12 leaves what belongs to ctypes.
        clean, = self.documents(FORGET)
        self.assertEqual(clean["interpreter"], 0)
        left, = self.documents(FORGET + "forget(1.5 * len('ab')); forget(bytes(1 << 20))\n")
        self.assertEqual(leaks(left, "float"), leaks(clean, "float") + 1)
        self.assertEqual(leaks(left, "bytes"), leaks(clean, "bytes") + 1)

    def test_interpreters_are_told_when_they_end(self):
        documents = self.documents(INTERPRETER + "run('pass'); run('import json')\n")
        self.assertEqual([d["interpreter"] for d in documents], [1, 2, 0])

    def test_classes_are_named(self):
        left, = self.documents(FORGET + "class Lost: pass\nforget(Lost())\n")
        self.assertEqual(leaks(left, "Lost"), 1)

    def test_text_names_types(self):
        done = python("-c", FORGET + "forget(bytes(1 << 20))\n", PIMALLOC_LEAKS="text")
        self.assertEqual(done.status, 0, str(done))
        self.assertIn(f"pimalloc: interpreter 0 of process {done.pid} ended and left ", done.stderr)
        self.assertRegex(done.stderr, r"\n +1,0\d\d,\d{3} +1  obj +large  bytes\n")

    def test_fail_changes_the_exit_status_if_something_was_left(self):
        clean = python("-c", "print('written')\n", PIMALLOC_LEAKS="fail")
        self.assertEqual((clean.status, clean.stdout), (0, "written\n"), str(clean))
        lost = python("-c", FORGET + "forget(bytes(1 << 20)); print('written')\n",
                      PIMALLOC_LEAKS="fail")
        self.assertEqual((lost.status, lost.stdout), (23, "written\n"), str(lost))
        self.assertIn("  bytes\n", lost.stderr)
        other = python("-c", FORGET + "import sys; forget(bytes(99)); sys.exit(5)\n",
                       PIMALLOC_LEAKS="fail")
        self.assertEqual(other.status, 5, str(other))

    def test_python_that_did_not_end_is_not_judged(self):
        done = python("-c", FORGET + "forget([]); ctypes.CDLL(None).exit(0)\n",
                      PIMALLOC_LEAKS="fail")
        self.assertEqual(done.status, 0, str(done))
        self.assertIn("what its main interpreter left is not known", done.stderr)

    def test_file_that_cannot_be_written_is_named(self):
        done = python("-c", "pass", PIMALLOC_LEAKS="json:/no/such/folder/x")
        self.assertEqual(done.status, 0, str(done))
        self.assertIn("could not be written to /no/such/folder/x", done.stderr)

    def test_pipe_without_a_reader_is_an_error_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipe"
            os.mkfifo(path)
            done = python("-c", "pass", PIMALLOC_LEAKS=f"json:{path}")
        self.assertEqual(done.status, 0, str(done))
        self.assertIn(f"could not be written to {path}: No such device or address", done.stderr)

    def test_file_that_others_laid_for_us_is_left_alone(self):
        if os.geteuid() != 0:
            self.skipTest("only root can make files of others")
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o1777)
            victim, link = Path(folder) / "victim", Path(folder) / "link"
            victim.write_text("secret", encoding="utf-8")
            link.symlink_to(victim)
            os.lchown(link, 65534, 65534)
            done = python("-c", "pass", PIMALLOC_LEAKS=f"json:{link}")
            self.assertEqual(victim.read_text(encoding="utf-8"), "secret")
        self.assertEqual(done.status, 0, str(done))
        self.assertIn(f"could not be written to {link}: Permission denied", done.stderr)


if __name__ == "__main__":
    unittest.main()
