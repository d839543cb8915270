"""What else used the processors while something was measured.

    /proc/stat:  all processors' time     -  this process's and its children's
                                          =  others'
                 time that the machine's own host took: stolen

Two processors are often two threads of one core, so a busy one slows the other
down: then no time means anything.
"""

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
BUSY = (1, 2, 3)         # columns: user, nice, system
STOLEN = 8


class Reading(NamedTuple):
    """Seconds, of all processors together but for `wall`."""
    busy: float
    stolen: float
    own: float
    wall: float


class Others(NamedTuple):
    """In processors: 0.5 is one that was busy half of the time."""
    others: float
    stolen: float


def parse(text):
    """(busy, stolen) in ticks, or None of a text without them."""
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["cpu"] and len(fields) > STOLEN:
            return sum(int(fields[i]) for i in BUSY), int(fields[STOLEN])
    return None


def own_seconds():
    """Of this process and of the children that have ended, and theirs."""
    return sum(usage.ru_utime + usage.ru_stime for usage in
               map(resource.getrusage, (resource.RUSAGE_SELF,
                                        resource.RUSAGE_CHILDREN)))


def read(path=STAT):
    """A Reading, or None where the kernel does not tell."""
    try:
        ticks = parse(path.read_text(encoding="ascii"))
    except OSError:
        ticks = None
    if ticks is None:
        return None
    second = os.sysconf("SC_CLK_TCK")
    return Reading(ticks[0] / second, ticks[1] / second, own_seconds(),
                   time.monotonic())


def between(before, after):
    """What others used from one Reading to the next; None if unknown."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    wall = after.wall - before.wall
    others = after.busy - before.busy - (after.own - before.own)
    return Others(round(max(0.0, others / wall), 3),
                  round((after.stolen - before.stolen) / wall, 3))
