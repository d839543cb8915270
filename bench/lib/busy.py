"""What else used the processors while something was measured.

    /proc/stat:  all processors' time     -  this process's and its children's
                                          =  others'
                 time that the machine's own host took: stolen

Two processors are often two threads of one core, so a busy one slows the other
down: then no time means anything.  Each round is looked at: shortly before it,
when this process sleeps, and while it runs.
"""

import os
import resource
import time
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Optional

STAT = Path("/proc/stat")
BUSY = (1, 2, 3)         # columns: user, nice, system
STOLEN = 8
LOOK_SECONDS = 0.5       # before a round
MUCH = 0.05              # of a processor, during a round
MUCH_BEFORE = 0.1        # ticks are coarse


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


class Round(NamedTuple):
    """What was seen of one round."""
    before: Optional[Others]
    during: Optional[Others]

    @property
    def is_busy(self):
        return (self.before is not None and self.before.others > MUCH_BEFORE
                or self.during is not None and max(self.during) > MUCH)


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


def look(seconds=LOOK_SECONDS):
    """What others use now, while this process sleeps."""
    before = read()
    time.sleep(seconds)
    return between(before, read())


def line(rounds):
    """A busy machine in one line; None of a quiet one."""
    busy = [one for one in rounds if one.is_busy]
    if not busy:
        return None
    during = [one.during for one in rounds if one.during]
    before = [one.before.others for one in rounds if one.before]
    parts = []
    if during:
        parts.append("other processes used "
                     f"{fmean(one.others for one in during):.2f} of a "
                     f"processor (most {max(one.others for one in during):.2f} "
                     "in a round)")
    if before:
        parts.append(f"{fmean(before):.2f} just before the rounds")
    if during and max(one.stolen for one in during) > MUCH:
        parts.append("the machine's own host took "
                     f"{fmean(one.stolen for one in during):.2f}")
    return (f"BUSY MACHINE in {len(busy)} of {len(rounds)} rounds: "
            + ", ".join(parts) + "; times of this run mean little")


def saved(rounds):
    """For the result file."""
    return {"said": line(rounds),
            "rounds": [{name: seen._asdict() if seen else None
                        for name, seen in one._asdict().items()}
                       for one in rounds]}
