"""What is aimed at, and whether a run reaches it.

A target about a mean holds if the mean itself reaches it.  Where the interval
lies on both sides of the target the answer is right for this run and may be
another one in the next; such an answer is marked with `~`.
"""

from typing import NamedTuple, Optional

from . import ratios
from .allocators import BASE, GENERAL
from .server import REQUESTS

STOCK, ONE, TWO = "macro/stock", "macro/embedded1", "macro/embedded2"

# (group, rival, geometric mean of the time ratios at least)
TIME = ((ONE, BASE, 1.18), (ONE, "mimalloc", 1.07),
        (STOCK, BASE, 1.06), (STOCK, "mimalloc", 1.03),
        ("micro", BASE, 1.60), ("micro", "mimalloc", 1.15),
        *((group, rival, 1.10) for group in (STOCK, ONE)
          for rival in GENERAL))
# (group, rivals, no row's time ratio below)
TIME_ROWS = ((ONE, 0.99), (STOCK, 0.98), ("micro", 0.95))
# (rival, geometric mean of the memory ratios at most)
MEMORY = ((BASE, 1.02), ("mimalloc", 0.92))
MEMORY_ROWS = 1.10          # at most, each row against pymalloc
FLOOR_ROW, FLOOR_AT_MOST = "pair/32", 1.35
GAIN_AT_LEAST = 1.95
GROWTH_ROW, GROWTH_AT_LEAST = "growth/16777216", 1.0
MACRO = (STOCK, ONE, TWO)
SERVERS = {"mod_wsgi": 1.10, "uwsgi": 1.10, "gunicorn": 1.03}  # requests
SERVER_MEMORY = 1.03        # at most


class Verdict(NamedTuple):
    """One target: what was measured, what it should be."""
    what: str
    value: float
    low: Optional[float]
    high: Optional[float]
    limit: float
    at_least: bool

    @property
    def reached(self):
        return (self.value >= self.limit if self.at_least
                else self.value <= self.limit)

    @property
    def doubtful(self):
        return (self.low is not None
                and self.low < self.limit < self.high)


def verdict(what, interval, limit, at_least=True):
    return Verdict(what, interval.middle, interval.low, interval.high, limit,
                   at_least)


def judge_times(summaries):
    for group, rival, limit in TIME:
        summary = summaries.get(group, {}).get(rival)
        if summary:
            yield verdict(f"{group} against {rival}, time", summary.time,
                          limit)
    for group, limit in TIME_ROWS:
        for rival in (BASE, "mimalloc"):
            summary = summaries.get(group, {}).get(rival)
            if summary:
                worst = summary.worst
                yield verdict(f"{group} against {rival}, worst row "
                              f"({worst.name})", worst.time, limit)


def judge_memory(summaries):
    for group in MACRO:
        for rival, limit in MEMORY:
            summary = summaries.get(group, {}).get(rival)
            if summary and summary.memory:
                yield verdict(f"{group} against {rival}, memory",
                              summary.memory, limit, at_least=False)
        summary = summaries.get(group, {}).get(BASE)
        if summary and summary.heaviest:
            row = summary.heaviest
            yield verdict(f"{group} against {BASE}, heaviest row "
                          f"({row.name})", row.memory, MEMORY_ROWS,
                          at_least=False)


def judge_single(groups, summaries):
    distance = ratios.floor_distance(groups, FLOOR_ROW)
    if distance:
        yield verdict(f"micro {FLOOR_ROW}, times the floor", distance,
                      FLOOR_AT_MOST, at_least=False)
    glibc = summaries.get("micro", {}).get("glibc")
    for row in glibc.rows if glibc else ():
        if row.name == GROWTH_ROW:
            yield verdict(f"micro {GROWTH_ROW} against glibc", row.time,
                          GROWTH_AT_LEAST)
    gain = ratios.parallel_gain(groups)
    if gain:
        yield verdict("two interpreters at once, programs", gain,
                      GAIN_AT_LEAST)
    for pattern, gain in ratios.parallel_rows(groups).items():
        yield verdict(f"two interpreters at once, {pattern}", gain,
                      GAIN_AT_LEAST)


def judge_servers(summaries):
    summary = summaries.get(REQUESTS, {}).get(BASE)
    for row in summary.rows if summary else ():
        if row.name in SERVERS:
            yield verdict(f"{row.name} against {BASE}, requests per second",
                          row.time, SERVERS[row.name])
            yield verdict(f"{row.name} against {BASE}, memory", row.memory,
                          SERVER_MEMORY, at_least=False)


def judge(groups, summaries):
    """A verdict on every target that the run has the figures for."""
    return [*judge_times(summaries), *judge_memory(summaries),
            *judge_single(groups, summaries), *judge_servers(summaries)]
