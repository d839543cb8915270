"""What the tests of the preload library share: running a program under it.

The tests themselves run in a Python without it.  CTest names the programs:

  PIM_TEST_PRELOAD     libpimalloc-preload.so
  PIM_TEST_GUARD       a library that ends a process where a block of ours is
                       freed by libc
  PIM_TEST_HOST        host.c without a libpython, PIM_TEST_LINKED_HOST with one
  PIM_TEST_LIBPYTHON   what they may load
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PRELOAD = os.environ["PIM_TEST_PRELOAD"]
GUARD = os.environ["PIM_TEST_GUARD"]
SECONDS = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang

# Objects enough to be told from those of a Python that was not served.
WORK = "kept = [[i] for i in range(20000)]\n"
OBJECTS = 20000


def build(name):
    """What CTest built for us; the test is skipped if this Python has no such thing."""
    path = os.environ.get(f"PIM_TEST_{name}")
    if not path:
        raise unittest.SkipTest(f"there is no {name.lower()} for this Python")
    return path


class Done:
    """A process that has ended, and the figures that it and its children left."""

    def __init__(self, process, stdout, stderr, figures):
        self.pid = process.pid
        self.status = process.returncode
        self.stdout = stdout
        self.stderr = stderr
        self.figures = figures

    @property
    def ours(self):
        """What we said on stderr."""
        return [line for line in self.stderr.split("\n") if line.startswith("pimalloc: ")]

    @property
    def why_not(self):
        """The reasons we gave for not being active."""
        return [match[1] for match in
                (re.match(r"pimalloc: not active in \S+ \(process \d+\)(?:, [A-Z_a-z ]+)?: (.+)", line)
                 for line in self.ours) if match]

    def __str__(self):
        return (f"status {self.status}\nstdout: {self.stdout}\nstderr: {self.stderr}\n"
                f"figures: {json.dumps(self.figures)[:2000]}")


def environment(changes, libraries=(PRELOAD,)):
    """This process's without what would change a Python, and with changes; None removes."""
    result = {name: value for name, value in os.environ.items()
              if not name.startswith(("PIMALLOC_", "PIM_TEST_", "PYTHON"))}
    result["PYTHONDONTWRITEBYTECODE"] = "1"
    result["LD_PRELOAD"] = " ".join(libraries)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return {name: value for name, value in result.items() if value != ""}


def run(*command, libraries=(PRELOAD,), stdin="", shell_limits="", popen=None, **changes):
    """Run a command under the library; its figures go to a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        changes.setdefault("PIMALLOC_STATS", f"json:{folder}/%p.json")
        if shell_limits:
            command = ("/bin/sh", "-c", f'{shell_limits}; exec "$@"', "sh", *command)
        with subprocess.Popen(command, env=environment(changes, libraries), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **(popen or {})) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        figures = {int(path.stem): json.loads(path.read_text(encoding="utf-8"))
                   for path in Path(folder).glob("*.json")}
        return Done(process, stdout, stderr, figures)


def with_mounts(script):
    """What goes before a command to mount things for it alone; if it cannot, 77 comes back."""
    private = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run(["/bin/sh", "-c", '"$@" true', "sh", *private], capture_output=True,
                      check=False).returncode != 0:
        raise unittest.SkipTest("mounting in private is not possible here")
    return [*private, "/bin/sh", "-c", f'{{ {script}; }} || exit 77\nexec "$@"', "sh"]


def python(*arguments, **options):
    return run(sys.executable, *arguments, **options)


def main_objects(document):
    """The figures of obj of the latest main interpreter."""
    latest = [i for i in document["interpreters"] if i["id"] == 0][-1]
    return latest["domains"]["obj"]


class TestCase(unittest.TestCase):
    """With the two outcomes that there are."""

    def assert_served(self, done, pid=None, blocks=OBJECTS):
        document = done.figures.get(pid or done.pid)
        self.assertIsNotNone(document, f"no figures of {pid or done.pid}\n{done}")
        self.assertTrue(document["installed"], str(done))
        self.assertGreater(main_objects(document)["peak_blocks"], blocks, str(done))
        self.assertEqual(document["foreign_frees"], 0, str(done))
        state = document["thread_state"]
        if state["found_by"] == "word":
            self.assertEqual(state["threads"]["call"], 0, str(done))
        return document

    def assert_untouched(self, command, reason, **options):
        """As if we were not there; why, is told to those who ask.  Returns what it printed."""
        plain = run(*command, **{**options, "libraries": ()})
        silent = run(*command, **options)
        self.assertEqual((silent.status, silent.stdout, silent.stderr),
                         (plain.status, plain.stdout, plain.stderr))
        self.assertEqual(silent.figures, {}, str(silent))
        # To stderr nothing is written, either.
        told = run(*command, **{**options, "PIMALLOC_STATS": "text"})
        self.assertEqual((told.status, told.stdout, told.stderr),
                         (plain.status, plain.stdout, plain.stderr))
        verbose = run(*command, **{**options, "PIMALLOC_VERBOSE": "1"})
        self.assertEqual((verbose.status, verbose.stdout), (plain.status, plain.stdout))
        if reason is None:
            self.assertEqual(verbose.ours, [], str(verbose))
        else:
            self.assertEqual(len(verbose.why_not), 1, str(verbose))
            self.assertRegex(verbose.why_not[0], reason)
        self.assert_missed(command, reason, plain.status, **options)
        return verbose

    def assert_missed(self, command, reason, status, **options):
        """Who asked for limits, faults or leaks is told, unasked, that there are none."""
        for value in ("64M", "64M:65M"):
            done = run(*command, **{**options, "PIMALLOC_LIMIT": value})
            self.assertEqual(done.status, status, str(done))
            self.assertEqual(len(done.why_not), reason is not None, str(done))
            if reason is not None:
                self.assertRegex(done.why_not[0], reason)
                self.assertIn(", PIMALLOC_LIMIT does nothing: ", done.stderr)
        faulty = run(*command, **{**options, "PIMALLOC_FAULTS": "every=1000"})
        self.assertEqual(len(faulty.why_not), reason is not None, str(faulty))
        if reason is not None:
            self.assertIn(", PIMALLOC_FAULTS does nothing: ", faulty.stderr)
        failing = run(*command, **{**options, "PIMALLOC_LEAKS": "fail"})
        self.assertEqual(failing.status, (status or 23) if reason else status, str(failing))
        self.assertEqual(len(failing.why_not), reason is not None, str(failing))
