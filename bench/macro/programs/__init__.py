"""The programs of the macro benchmark, and how one is made ready to run.

A program is a module here with a docstring, LOOPS, setup() and run(data):

  setup()     builds the input, outside the measured time
  run(data)   does the work once and returns a digest: a str or an int that is
              the same on every allocator and every Python, each time
  LOOPS       how often run() is called in a measurement
  NEEDS       optional: C modules without which this would be another program
  STAGES      optional: the functions that run() calls one after the other, each
              with data; in an aged process each is timed by itself

An aged process imports first what ordinary programs import, and notes the time
of each call of run().

worker.py (a stock python3) and host.c (interpreters of an embedding program)
both come here, so that they run the same thing.  Nothing is imported that
Python has not imported at its start: it would be part of every peak.
"""

import os
import sys
import time

# Some 100,000 objects that stay, among which a program's own are laid.  What an
# interpreter with its own GIL cannot import is passed over.
ORDINARY = ("argparse", "asyncio", "collections", "concurrent.futures",
            "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal",
            "email.message", "enum", "functools", "http.client", "inspect",
            "itertools", "json", "logging", "pathlib", "pickle", "random", "re",
            "shutil", "socket", "sqlite3", "statistics", "string", "subprocess",
            "tempfile", "threading", "typing", "unittest.mock",
            "urllib.request", "uuid", "xml.etree.ElementTree", "zipfile")


def names():
    """The programs there are, sorted."""
    files = os.listdir(os.path.dirname(os.path.abspath(__file__)))
    return sorted(name[:-3] for name in files
                  if name.endswith(".py") and name != "__init__.py")


# Their imports alone crash CPython 3.12 on its own allocator in a second
# interpreter: types of datetime and decimal are shared, and what one
# interpreter allocated for them is freed by another.
ALONE_IN_312 = ("sqlite", "telephone")


def obstacle(module):
    """Why this interpreter cannot run a program as it is meant, or None.

    The standard library falls back to Python code where a C module refuses to
    be imported, as some do in an interpreter with a GIL of its own.
    """
    for needed in getattr(module, "NEEDS", ()):
        try:
            __import__(needed)
        except ImportError as error:
            return str(error)
    return None


def import_ordinary():
    for name in ORDINARY:
        try:
            __import__(name)
        except ImportError:
            pass


class Laps:
    """run() of an aged program: notes the processor time of each call, of the
    whole and of each stage."""

    def __init__(self, name, module):
        self.run = module.run
        self.stages = getattr(module, "STAGES", ())
        self.whole = []
        self.seconds = {name: self.whole}
        self.of_stages = [self.seconds.setdefault(f"{name}_{one.__name__}", [])
                          for one in self.stages]

    def __call__(self, data):
        clock = time.thread_time
        if not self.stages:
            began = clock()
            digest = self.run(data)
            self.whole.append(clock() - began)
            return digest
        digests, times = [], [clock()]
        for stage in self.stages:
            digests.append(str(stage(data)))
            times.append(clock())
        for laps, began, ended in zip(self.of_stages, times, times[1:]):
            laps.append(ended - began)
        self.whole.append(times[-1] - times[0])
        return " ".join(digests)

    def report(self):
        """The seconds as JSON; json itself may not have been imported."""
        return "{" + ", ".join(
            f'"{name}": [' + ", ".join(f"{lap:.6f}" for lap in laps) + "]"
            for name, laps in self.seconds.items()) + "}"


def rest(seconds):
    """What a program does that has nothing to do: a little, now and then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        [str(number) for number in range(300)]
        time.sleep(0.01)


def prepare(name, interpreters=1, aged=False):
    """Imports a program and builds its input, in a process in which so many
    interpreters do that.

    Returns (skipped, run, data, LOOPS); skipped says why the program cannot
    run here, or is None.  Of an aged process run is one of Laps.
    """
    # Whether a .pyc is there must make no difference between two runs.
    sys.dont_write_bytecode = True
    if name not in names():
        raise LookupError(f"no program {name!r}, only {', '.join(names())}")
    if (interpreters > 1 and sys.version_info < (3, 13)
            and name in ALONE_IN_312):
        return "CPython 3.12 cannot in several interpreters", None, None, 0
    if aged:
        import_ordinary()
    try:
        __import__(f"{__name__}.{name}")
    except ImportError as error:
        return str(error), None, None, 0
    module = sys.modules[f"{__name__}.{name}"]
    skipped = obstacle(module)
    if skipped:
        return skipped, None, None, 0
    run = Laps(name, module) if aged else module.run
    return None, run, module.setup(), module.LOOPS
