"""The programs of the macro benchmark, and how one is made ready to run.

A program is a module here with a docstring, LOOPS, setup() and run(data):

  setup()     builds the input, outside the measured time
  run(data)   does the work once and returns a digest: a str or an int that is
              the same on every allocator and every Python, each time
  LOOPS       how often run() is called in a measurement
  NEEDS       optional: C modules without which this would be another program

worker.py (a stock python3) and host.c (interpreters of an embedding program)
both come here, so that they run the same thing.  Nothing is imported that
Python has not imported at its start: it would be part of every peak.
"""

import os
import sys


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


def prepare(name, interpreters=1):
    """Imports a program and builds its input, in a process in which so many
    interpreters do that.

    Returns (skipped, run, data, LOOPS); skipped says why the program cannot
    run here, or is None.
    """
    # Whether a .pyc is there must make no difference between two runs.
    sys.dont_write_bytecode = True
    if name not in names():
        raise LookupError(f"no program {name!r}, only {', '.join(names())}")
    if (interpreters > 1 and sys.version_info < (3, 13)
            and name in ALONE_IN_312):
        return "CPython 3.12 cannot in several interpreters", None, None, 0
    try:
        __import__(f"{__name__}.{name}")
    except ImportError as error:
        return str(error), None, None, 0
    module = sys.modules[f"{__name__}.{name}"]
    skipped = obstacle(module)
    if skipped:
        return skipped, None, None, 0
    return None, module.run, module.setup(), module.LOOPS
