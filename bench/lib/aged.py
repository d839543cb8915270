"""The groups `aged`: programs in processes that have lived for a while.

A process imports what ordinary programs import and then does the same work 24
times; the processor time of each repetition is kept.

    early   the median of the 2nd to the 4th repetition
    late    the median of the last ten; ratios are of this
    slope   how much longer the 24th takes than the 2nd, in %, on a straight
            line through all but the first (the median of the slopes of all
            pairs)

A row is a program, or a stage of one (`tuples_drop`); memory is of the process,
and stands in the row of the program.
"""

from itertools import combinations
from statistics import fmean, median

from . import lines
from .allocators import BASE
from .groups import Embedded, Stock
from .stats import geometric_mean, median_interval

REPETITIONS = 24
EARLY, LATE = slice(1, 4), slice(-10, None)
STOCK, EMBEDDED = "aged/stock", "aged/embedded1"
QUICK = ("json", "seasons", "tuples")  # programs of a quick run
# In a few repetitions the garbage collector goes over all that was imported.
LOOK = lines.Look(4, 84, "number of the repetition", outside=1 / 6)
X_TICKS = (1, 8, 16, 24)


def slope_percent(laps):
    """Of the straight line from the 2nd to the last, to where it begins."""
    points = list(enumerate(laps))[1:]
    slope = median((b[1] - a[1]) / (b[0] - a[0])
                   for a, b in combinations(points, 2))
    start = median(lap - slope * (place - 1) for place, lap in points)
    return 100 * slope * (len(points) - 1) / start


class Aged:
    """What the two groups have in common; comes before a Macro."""

    def loops(self, program, warm):
        return 1 if warm else REPETITIONS

    def words(self, program, warm):
        return [*super().words(program, warm), "--aged"]

    def rows(self, program, allocator, answer):
        if answer["loops"] < REPETITIONS:
            return []  # the round that is thrown away
        (common,) = super().rows(program, allocator, answer)
        made = []
        for name, laps in answer["laps"].items():
            row = f"{self.name}/{name}/{allocator.name}"
            late = median(laps[LATE]) * 1e3
            made.append({**common, "name": row, "run_name": row,
                         "real_time": late, "cpu_time": late,
                         "early_ms": median(laps[EARLY]) * 1e3,
                         "slope_percent": slope_percent(laps),
                         "laps_ms": [lap * 1e3 for lap in laps]})
            if name != program:
                for field in ("peak_kb", "after_kb", "start_kb"):
                    del made[-1][field]
        return made


class AgedStock(Aged, Stock):
    """python3 as it is installed."""
    name = STOCK


class AgedEmbedded(Aged, Embedded):
    """An own-GIL interpreter of a host."""

    def __init__(self, host, setting, allocators, folder):
        super().__init__(host, 1, setting, allocators, folder)
        self.name = EMBEDDED


# --- figures ------------------------------------------------------------------

def collate(rows):
    """{group: {row: {allocator: {round: entry}}}} of the aged groups."""
    found = {}
    for row in rows:
        if "laps_ms" in row:
            group, _, rest = row["name"].partition("/")
            where, name, allocator = rest.split("/", 2)
            found.setdefault(f"{group}/{where}", {}).setdefault(
                name, {}).setdefault(allocator, {})[
                row["repetition_index"]] = row
    return found


def middle(runs, field):
    return median(entry[field] for entry in runs.values())


def cell(runs):
    return (f"{middle(runs, 'early_ms'):.1f} {middle(runs, 'cpu_time'):6.1f} "
            f"{middle(runs, 'slope_percent'):+4.0f} %")


def ratio_to(base, runs, field):
    """The median over the rounds that both have; None if there are none."""
    ratios = [entry[field] / base[number][field]
              for number, entry in runs.items() if number in base]
    return median_interval(ratios).middle if ratios else None


def mean_cell(by_row, name):
    """Early and late time to pymalloc's, and the mean slope."""
    texts = []
    for field in ("early_ms", "cpu_time"):
        ratios = [ratio_to(runs[BASE], runs[name], field)
                  for runs in by_row.values() if {name, BASE} <= set(runs)]
        ratios = [ratio for ratio in ratios if ratio]
        texts.append(f"{geometric_mean(ratios):.3f}" if ratios else "-")
    slope = fmean(middle(runs[name], "slope_percent")
                  for runs in by_row.values() if name in runs)
    return " ".join([*texts, f"{slope:+4.0f} %"])


def cells(rows, ranked):
    """{group: a table as lists of words}."""
    tables = {}
    for group, by_row in collate(rows).items():
        names = [name for name in ranked
                 if any(name in runs for runs in by_row.values())]
        table = [[group, *names]]
        table += [[row, *(cell(runs[name]) if name in runs else "-"
                          for name in names)] for row, runs in by_row.items()]
        table.append([f"mean, to {BASE}", *(mean_cell(by_row, name)
                                            for name in names)])
        tables[group] = table
    return tables


# --- charts -------------------------------------------------------------------

def panel(name, by_allocator):
    found = {}
    for allocator, runs in by_allocator.items():
        columns = zip(*(entry["laps_ms"] for entry in runs.values()))
        found[allocator] = [median(column) for column in columns]
    return lines.Panel(name, "ms", list(range(1, REPETITIONS + 1)), found,
                       X_TICKS)


def draw(rows, ranked, headings, facts):
    """{file name: SVG}."""
    return {f"{group.replace('/', '-')}-repetitions.svg": lines.draw(
                f"Time of each repetition: {headings[group]}", facts[group],
                [panel(name, runs) for name, runs in by_row.items()], ranked,
                LOOK)
            for group, by_row in collate(rows).items()}
