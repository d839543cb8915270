"""Medians, their intervals and geometric means.

Nothing here assumes a distribution of the times: runs of one program have a
sharp lower end, a long upper one, and a machine with neighbours.

Rows.  The interval of a median is bounded by two of the sorted values: of n
independent values the median lies between the k-th smallest and the k-th
largest with a probability that only n and k decide.  The largest k that still
gives 95 % is taken.  Fewer than six values cannot give 95 %; all of their range
is taken then.

Geometric means.  All rows of a round were run close together, so a bad minute
hits many rows at once: rounds are what is independent, not rows.  The bootstrap
therefore draws whole rounds, with the same seed always.  Percentiles of so few
rounds are too narrow; they are moved outwards by what Student's t distribution
asks of n rounds (the expanded percentile interval).

Two files.  Runs of two files are no pairs: the median of all ratios, one run
from each, and the interval that belongs to the rank test of Mann and Whitney.
"""

import math
import random
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple, Optional

CONFIDENCE = 0.95
RESAMPLES = 2000
SEED = 20


class Interval(NamedTuple):
    """An estimate and what bounds it; None where one value was all."""
    middle: float
    low: Optional[float]
    high: Optional[float]


def median_ratio(values):
    """The median; between two, their geometric mean, so that it is the same
    whichever way round the ratios are."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return math.sqrt(ordered[half - 1] * ordered[half])


def geometric_mean(values):
    return math.exp(math.fsum(math.log(value) for value in values)
                    / len(values))


# --- a median -----------------------------------------------------------------

@lru_cache(maxsize=None)
def median_rank(count):
    """The largest k for which the median lies between the k-th smallest and
    the k-th largest of `count` values with 95 %; 1 if none does."""
    outside = 0.0
    best = 1
    for k in range(1, count // 2 + 1):
        outside += 2 * math.comb(count, k - 1) / 2 ** count
        if 1 - outside < CONFIDENCE:
            break
        best = k
    return best


def interval_words(count):
    """What the interval of a median of `count` values is."""
    sure = 1 - 2 / 2 ** count >= CONFIDENCE
    return "95 % interval" if sure else f"range of {count} rounds"


def median_interval(values):
    """The median of independent ratios, bounded by two of them."""
    ordered = sorted(values)
    if len(ordered) < 2:
        return Interval(ordered[0], None, None)
    rank = median_rank(len(ordered))
    return Interval(median_ratio(ordered), ordered[rank - 1], ordered[-rank])


# --- a geometric mean of medians ----------------------------------------------

# Student's t at 97.5 % for 1 to 30 degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
           2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
           2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052,
           2.048, 2.045, 2.042)


def expanded_tail(count):
    """The share of resamples to cut off on each side, for `count` rounds."""
    student = STUDENT[count - 2] if count - 2 < len(STUDENT) else 1.96
    return NormalDist().cdf(-student * math.sqrt(count / (count - 1)))


@lru_cache(maxsize=None)
def resamples(count):
    """The rounds that each resample draws; the same for every question."""
    source = random.Random(SEED)
    return [source.choices(range(count), k=count) for _ in range(RESAMPLES)]


def geomean_interval(rows):
    """Geometric mean of the medians of `rows`: lists of the values of each
    round, None where a row was not run in it."""
    def mean_of(drawn):
        medians = []
        for row in rows:
            there = [row[i] for i in drawn if row[i] is not None]
            if there:
                medians.append(median_ratio(there))
        return geometric_mean(medians) if medians else None

    count = len(rows[0])
    middle = mean_of(range(count))
    if count < 2:
        return Interval(middle, None, None)
    means = sorted(mean for mean in map(mean_of, resamples(count))
                   if mean is not None)
    cut = int(expanded_tail(count) * len(means))
    return Interval(middle, means[cut], means[-1 - cut])


# --- two lots of values that are no pairs -------------------------------------

@lru_cache(maxsize=None)
def rank_sums(first, second):
    """How many orders of `first` + `second` values have each count of pairs
    in which the first is the larger: Mann and Whitney's U."""
    if first == 0 or second == 0:
        return (1,)
    without_first = rank_sums(first - 1, second)
    without_second = rank_sums(first, second - 1)
    sums = [0] * (first * second + 1)
    for u, ways in enumerate(without_first):
        sums[u + second] += ways
    for u, ways in enumerate(without_second):
        sums[u] += ways
    return tuple(sums)


@lru_cache(maxsize=None)
def pair_rank(first, second):
    """As median_rank(), among the sorted ratios of all pairs."""
    pairs = first * second
    if pairs > 900:  # the normal approximation is good long before
        spread = math.sqrt(pairs * (first + second + 1) / 12)
        return int(pairs / 2 - 1.96 * spread)
    sums = rank_sums(first, second)
    total = sum(sums)
    outside = 0
    best = 1
    for k in range(1, len(sums) // 2 + 1):
        outside += 2 * sums[k - 1]
        if 1 - outside / total < CONFIDENCE:
            break
        best = k
    return best


def can_tell(first, second):
    """Whether the range of all ratios of so many runs holds 95 %."""
    return (min(first, second) > 1
            and 1 - 2 / math.comb(first + second, first) >= CONFIDENCE)


def unpaired_ratio(above, below):
    """How many times `below` the values `above` are."""
    ratios = sorted(a / b for a in above for b in below)
    if len(above) < 2 or len(below) < 2:
        return Interval(median_ratio(ratios), None, None)
    rank = pair_rank(len(above), len(below))
    return Interval(median_ratio(ratios), ratios[rank - 1], ratios[-rank])
