"""What the tests of the Python module share."""

import contextlib
import gc
import json
import os
import subprocess
import sys
import unittest

import pimalloc

SECONDS = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang
needs_active = unittest.skipUnless(pimalloc.active(), "pimalloc does not serve this Python")


def main():
    """Run the calling file's tests.  CTest says which programs must be served."""
    if os.environ.get("PIM_TEST_ACTIVE") and not pimalloc.active():
        sys.exit("support: this test is for a Python that pimalloc serves")
    unittest.main(module="__main__", verbosity=1)


def run_python(code, *arguments, **changes):
    """Run code in a new Python; changes to the environment, None removes."""
    environment = dict(os.environ)
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return subprocess.run([sys.executable, "-s", "-B", *arguments, "-c", code], env=environment,
                          capture_output=True, text=True, timeout=SECONDS, check=False)


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def live_blocks(interp=0):
    domains = pimalloc.stats(interp)["domains"]
    return domains["mem"]["live_blocks"] + domains["obj"]["live_blocks"]


def growth(work, rounds):
    """Blocks that so many rounds of work leave in this interpreter.

    The least of four times: what fills caches and free lists does so once.
    """
    marks = []
    for _ in range(5):
        for _ in range(rounds):
            work()
        gc.collect()
        marks.append(live_blocks())
    return min(after - before for before, after in zip(marks, marks[1:]))


# --- interpreters, by each version's means -------------------------------------

if sys.version_info >= (3, 13):
    import _interpreters
else:
    import _xxsubinterpreters as _interpreters


class Interpreter:
    """One with a GIL of its own, or a legacy one.

    Its id is `id`, as in concurrent.interpreters; `handle` is what the version's
    own module calls an interpreter.
    """

    def __init__(self, legacy=False):
        if sys.version_info >= (3, 14) and not legacy:
            from concurrent import interpreters
            self.handle = interpreters.create()
            self.id = self.handle.id
            return
        if sys.version_info >= (3, 13):
            self.handle = _interpreters.create("legacy" if legacy else "isolated")
        else:
            self.handle = _interpreters.create(isolated=not legacy)
        self.id = int(self.handle)

    def run(self, code):
        """Run code there; returns what it left in the variable result."""
        reading, writing = os.pipe()
        with open(reading, encoding="utf-8") as answer:
            code = (f"result = None\n{code}\nimport json, os\n"
                    f"os.write({writing}, json.dumps(result).encode())\n")
            try:
                failure = _interpreters.run_string(self.id, code)
            finally:
                os.close(writing)
            if failure is not None:  # 3.12 raises instead
                raise RuntimeError(failure.formatted)
            return json.loads(answer.read())

    def close(self):
        _interpreters.destroy(self.id)


@contextlib.contextmanager
def interpreter(legacy=False):
    one = Interpreter(legacy)
    try:
        yield one
    finally:
        one.close()
