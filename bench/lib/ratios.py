"""Rows and geometric means, rival by rival.

A ratio of times is the rival's to pimalloc's: above 1 pimalloc is the faster.
A ratio of memory is pimalloc's to the rival's: below 1 pimalloc needs less.
Both are of the two runs of one round; what is shown is the median of the rounds
and the interval of that median.
"""

from typing import NamedTuple, Optional

from .allocators import FLOOR, OURS
from .stats import Interval, geomean_interval, median_interval


class Row(NamedTuple):
    """One row against one rival."""
    name: str
    time: Interval
    memory: Optional[Interval]          # of the peaks
    after: Optional[Interval] = None    # of what is resident after the work


class Summary(NamedTuple):
    """All rows of a group against one rival."""
    group: str
    rival: str
    rows: list
    time: Interval              # geometric mean of the rows
    memory: Optional[Interval]
    after: Optional[Interval] = None

    @property
    def worst(self):
        """The row where pimalloc does worst."""
        return min(self.rows, key=lambda row: row.time.middle)

    @property
    def heaviest(self):
        """The row where pimalloc needs most memory, or None."""
        measured = [row for row in self.rows if row.memory]
        return max(measured, key=lambda row: row.memory.middle, default=None)


def time_ratio(rival, ours):
    return rival.seconds / ours.seconds


def memory_ratio(rival, ours):
    if not rival.peak_kb or not ours.peak_kb:
        return None
    return ours.peak_kb / rival.peak_kb


def after_ratio(rival, ours):
    if not rival.after_kb or not ours.after_kb:
        return None
    return ours.after_kb / rival.after_kb


def per_round(runs, rival, rounds, ratio):
    """The ratio of each round, None where it cannot be had."""
    both = [(runs[rival].get(number), runs[OURS].get(number))
            for number in rounds]
    return [ratio(*pair) if None not in pair else None for pair in both]


def known(values):
    return [value for value in values if value is not None]


def rounds_of(rows):
    return sorted({number for runs in rows.values()
                   for values in runs.values() for number in values})


def summarise(group, rows, rival):
    """The group's rows that both have run, against one rival; None if there
    are none."""
    rounds = rounds_of(rows)
    result, times = [], []
    memories = {memory_ratio: [], after_ratio: []}
    for name, runs in rows.items():
        if rival not in runs or OURS not in runs:
            continue
        time = per_round(runs, rival, rounds, time_ratio)
        if not known(time):
            continue
        times.append(time)
        intervals = []
        for ratio, column in memories.items():
            memory = per_round(runs, rival, rounds, ratio)
            intervals.append(median_interval(known(memory)) if known(memory)
                             else None)
            if known(memory):
                column.append(memory)
        result.append(Row(name, median_interval(known(time)), *intervals))
    if not result:
        return None
    return Summary(group, rival, result, geomean_interval(times),
                   *(geomean_interval(column) if column else None
                     for column in memories.values()))


def rivals_of(rows):
    """The allocators of a group in the order they appear, without ours."""
    found = {}
    for runs in rows.values():
        found.update(dict.fromkeys(runs))
    return [name for name in found if name != OURS]


def summaries(groups):
    """{group: {rival: Summary}}."""
    result = {}
    for group, rows in groups.items():
        found = {rival: summarise(group, rows, rival)
                 for rival in rivals_of(rows)}
        result[group] = {rival: summary for rival, summary in found.items()
                         if summary is not None}
    return result


def both_rounds(alone, together, gain):
    """The gain of each round that both have."""
    return [gain(alone[number], together[number]) if number in together
            else None for number in alone]


def parallel_rows(groups, allocator=OURS):
    """{micro pattern: how much more two interpreters at once get done}.  The
    rows NAME/1 and NAME/2 are by one and by two, and both say the time of one
    malloc and free, whoever does it."""
    rows = groups.get("micro", {})
    gains = {}
    for name, runs in rows.items():
        front, _, end = name.partition("/1/real_time")
        other = rows.get(f"{front}/2/real_time", {})
        if (end or not name.startswith("parallel_") or allocator not in runs
                or allocator not in other):
            continue
        values = known(both_rounds(
            runs[allocator], other[allocator],
            lambda alone, both: alone.real_seconds / both.real_seconds))
        if values:
            gains[front] = median_interval(values)
    return gains


def parallel_gain(groups, allocator=OURS):
    """How much more two interpreters at once get done than one: the geometric
    mean over the programs of 2 * time of one / time of two, by the clock on
    the wall.  None if either was not run."""
    one = groups.get("macro/embedded1", {})
    two = groups.get("macro/embedded2", {})
    rounds = sorted(set(rounds_of(one)) & set(rounds_of(two)))
    gains = []
    for name in one:
        if allocator not in one[name] or allocator not in two.get(name, {}):
            continue
        values = []
        for number in rounds:
            alone = one[name][allocator].get(number)
            both = two[name][allocator].get(number)
            values.append(2 * alone.real_seconds / both.real_seconds
                          if alone and both else None)
        if known(values):
            gains.append(values)
    return geomean_interval(gains) if gains else None


def floor_distance(groups, row):
    """pimalloc's time of a micro row to the floor's; None if not run."""
    runs = groups.get("micro", {}).get(row, {})
    if OURS not in runs or FLOOR not in runs:
        return None
    values = known(per_round(runs, FLOOR, rounds_of({row: runs}), time_ratio))
    return median_interval([1 / value for value in values]) if values else None
