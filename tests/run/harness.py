"""Cases, what they may ask for, and one line for each."""

import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

CASES = []
SECONDS = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang


class Skip(Exception):
    """This machine cannot show it."""


def case(function):
    """A test.  Its docstring is the claim that is printed."""
    CASES.append(function)
    return function


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what} is {got!r}, not {wanted!r}")


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


class Bench:
    """A scratch installation with the stand-in as its preload library."""

    def __init__(self, options):
        self.options = options
        self.scratch = Path(tempfile.mkdtemp(prefix="pimalloc-run-"))
        self.scratch.chmod(0o755)  # some cases run as another user
        self.root = self.make_tree("tree")
        self.run_file = self.root / "bin/pimalloc-run"
        self.library = self.root / options.libdir / "libpimalloc-preload.so"

    def make_tree(self, name):
        """Copies launcher and stand-in to a tree as installed."""
        root = self.scratch / name
        library = root / self.options.libdir / "libpimalloc-preload.so"
        (root / "bin").mkdir(parents=True)
        library.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.options.launcher, root / "bin/pimalloc-run")
        shutil.copy(self.options.standin, library)
        return root

    def close(self):
        shutil.rmtree(self.scratch)

    def path(self, name):
        return str(self.scratch / name)

    def script(self, name, text, mode=0o755):
        path = self.scratch / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def compile(self, name, *flags, code="int main(void) { return 7; }"):
        """Builds a C program, or raises Skip."""
        source = self.script(name + ".c", code)
        done = subprocess.run([self.options.cc, "-o", self.path(name), source, *flags],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skip(f"cc {' '.join(flags)} does not work here")
        return self.path(name)

    def run(self, *words, file=None, env=None, unset=(), **more):
        """Runs pimalloc-run with these words."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("PIMALLOC_")
                       and name not in ("LD_PRELOAD", "PYTHONPATH", *unset)}
        environment.update(env or {})
        more.setdefault("stdin", None if "input" in more else subprocess.DEVNULL)
        return subprocess.run([str(file or self.run_file), *map(str, words)],
                              env=environment, capture_output=True, text=True,
                              timeout=SECONDS, check=False, **more)

    def fails(self, status, *words, says=(), **more):
        """Runs, and expects a failure of the launcher with one line on stderr."""
        done = self.run(*words, **more)
        equal(done.returncode, status, "exit status")
        equal(done.stdout, "", "stdout")
        contains(done.stderr, "pimalloc-run: ", *says)
        equal(done.stderr.count("\n"), 1, "number of lines on stderr")
        return done

    def variable(self, name, *words, **more):
        """The variable as COMMAND gets it; None if it is not set."""
        done = self.run(*words, sys.executable, "-c",
                        f"import os; print(repr(os.environ.get({name!r})))", **more)
        equal(done.returncode, 0, f"exit status ({done.stderr})")
        return eval(done.stdout)  # what repr() wrote


def run_all(options):
    """Runs every case; returns how many failed."""
    bench = Bench(options)
    failed = 0
    try:
        for function in CASES:
            claim = " ".join(function.__doc__.split())
            try:
                function(bench)
                print(f"ok    {claim}")
            except Skip as why:
                print(f"skip  {claim}: {why}")
            except Exception as error:  # any failure is one line, and its place
                failed += 1
                place = traceback.extract_tb(error.__traceback__)[1]
                print(f"FAIL  {claim}\n      {type(error).__name__}: {error}\n"
                      f"      at {Path(place.filename).name}:{place.lineno}: {place.line}")
    finally:
        bench.close()
    print(f"{len(CASES)} cases, {failed} failed")
    return failed
