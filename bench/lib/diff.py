"""bench/compare: two result files against each other."""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from . import results, table
from .allocators import BASE, OURS
from .problem import Problem
from .stats import Interval, can_tell, geometric_mean, unpaired_ratio

DESCRIPTION = """\
Compare two files of results: B against A, row by row.

Takes results.json of bench/run and the JSON of Google Benchmark.  A ratio is
B's time to A's: above 1, B is slower.  The runs of two files are no pairs: the
ratio is the median of all ratios of one run from each, in brackets its 95 %
interval (that of the rank test of Mann and Whitney).

A row is worse if its ratio is more than the threshold above 1 and its interval
lies above 1.  Fewer than four runs in each file cannot tell a change from
noise: such a row is marked with a question mark, its brackets hold the range of
all ratios, and it counts only with --strict.  Of many rows a few in a hundred
look worse by chance: run again before you believe a single one.

The machine may have been faster or slower as a whole: --relative-to pymalloc
divides every run by pymalloc's of the same round first.
"""

EPILOG = """\
exit status: 0 no row is worse; 1 at least one is; 2 the files cannot be
compared, or bad usage.
"""
AGGREGATE_OF_ALL = "median"


class Row(NamedTuple):
    name: str
    ratio: Interval
    before: float       # seconds, median
    after: float
    worse: bool
    better: bool
    sure: bool          # there were runs enough to tell it from noise

    @property
    def mark(self):
        word = "WORSE" if self.worse else "better" if self.better else ""
        return word if self.sure or not word else word.lower() + "?"


def threshold(value):
    """'3', '3%' or '3 %'."""
    number = float(value.rstrip("% "))
    if number < 0:
        raise ValueError
    return number / 100


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="bench/compare", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("before", type=Path, metavar="A.json")
    add("after", type=Path, metavar="B.json")
    add("--threshold", type=threshold, default=0.03, metavar="PERCENT",
        help="a row may get slower by this much (default: 3)")
    add("--allocator", default=None, metavar="NAME",
        help=f"whose rows of bench/run (default: {OURS}); all: everyone's")
    add("--memory", dest="memory", action="store_const", const="peak_kb",
        help="peak resident memory instead of time")
    add("--after", dest="memory", action="store_const", const="after_kb",
        help="what is resident after the work instead of time")
    add("--relative-to", metavar="NAME",
        help=f"each run to that of this allocator in its round ({BASE})")
    add("--strict", action="store_true",
        help="rows with fewer than four runs count as well")
    add("--changed", action="store_true",
        help="only rows that are worse or better")
    add("--markdown", action="store_true", help="print Markdown")
    return parser.parse_args(arguments)


# --- files --------------------------------------------------------------------

def is_ours(document):
    return document.get("context", {}).get("executable") == "bench/run"


def usable(document):
    """The entries of single runs; the medians of a file that has no others."""
    entries = document["benchmarks"]
    runs = [entry for entry in entries
            if entry.get("run_type", "iteration") == "iteration"
            and not entry.get("error_occurred") and not entry.get("skipped")]
    return runs or [entry for entry in entries
                    if entry.get("aggregate_name") == AGGREGATE_OF_ALL]


def quantity(entry, memory):
    """Seconds or kB; None if the entry has none."""
    if memory:
        return entry.get(memory)
    clock = "real_time" if entry.get("run_name", entry["name"]).endswith(
        "/real_time") else "cpu_time"
    return results.seconds_of(entry, entry.get("ratio_time", clock))


def lists_of(document, memory):
    """{name: {round: value}} in the file's order."""
    found = {}
    for entry in usable(document):
        value = quantity(entry, memory)
        if value:
            runs = found.setdefault(entry.get("run_name", entry["name"]), {})
            runs[entry.get("repetition_index", len(runs))] = value
    return found


def relative(rows, base):
    """Each run to that of `base` in the same row and round."""
    result = {}
    for name, runs in rows.items():
        row = name.rpartition("/")[0]
        others = rows.get(f"{row}/{base}", {})
        both = {number: value / others[number]
                for number, value in runs.items() if number in others}
        if both:
            result[name] = both
    return result


def read(path, options):
    """What of the file is compared: {row: [values]}."""
    document = results.load(path)
    rows = lists_of(document, options.memory)
    if options.relative_to:
        if not is_ours(document):
            raise Problem(f"{path}: --relative-to is for files of bench/run")
        rows = relative(rows, options.relative_to)
    wanted = options.allocator or OURS
    if is_ours(document) and wanted != "all":
        rows = {name: runs for name, runs in rows.items()
                if name.rpartition("/")[2] == wanted}
    if not rows:
        what = options.memory or "a time"
        raise Problem(f"{path}: no row" + (f" of {wanted}" if is_ours(document)
                                           else "") + f" with {what} in it")
    return {name: list(runs.values()) for name, runs in rows.items()}


# --- rows ---------------------------------------------------------------------

def compare_row(name, before, after, limit):
    ratio = unpaired_ratio(after, before)
    low = ratio.middle if ratio.low is None else ratio.low
    high = ratio.middle if ratio.high is None else ratio.high
    return Row(name, ratio, sorted(before)[len(before) // 2],
               sorted(after)[len(after) // 2],
               ratio.middle > 1 + limit and low > 1,
               ratio.middle < 1 / (1 + limit) and high < 1,
               can_tell(len(before), len(after)))


def group_of(name):
    """bench/run's group, or the part of a name before the first slash."""
    return results.group_of(name)


def geomean_lines(rows):
    groups = {}
    for row in rows:
        groups.setdefault(group_of(row.name), []).append(row.ratio.middle)
    if len(groups) > 1 or len(rows) > 1:
        groups = {group: ratios for group, ratios in groups.items()
                  if len(ratios) > 1}
        groups["all rows"] = [row.ratio.middle for row in rows]
    return [f"geomean {group}: {geometric_mean(ratios):.3f} "
            f"({len(ratios)} rows)" for group, ratios in groups.items()]


def amount_text(value, options):
    if options.relative_to:
        return f"{value:.3f}"
    return f"{value / 1024:.1f} MiB" if options.memory else \
        table.time_text(value)


def row_lines(rows, options):
    cells = [["row", "A", "B", "B to A", ""]]
    for row in rows:
        if row.mark or not options.changed:
            cells.append([row.name, amount_text(row.before, options),
                          amount_text(row.after, options),
                          table.interval_text(row.ratio), row.mark])
    return table.layout(cells, options.markdown)


def execute(options):
    before, after = (read(path, options)
                     for path in (options.before, options.after))
    common = [name for name in before if name in after]
    if not common:
        raise Problem("the files have no row in common: "
                      f"{next(iter(before))} is in the one, "
                      f"{next(iter(after))} in the other")
    rows = [compare_row(name, before[name], after[name], options.threshold)
            for name in common]
    print("\n".join(row_lines(rows, options)))
    for path, own, other in ((options.before, before, after),
                             (options.after, after, before)):
        alone = [name for name in own if name not in other]
        if alone:
            print(f"only in {path}: {', '.join(alone)}")
    print("\n".join(geomean_lines(rows)))
    worse = sum(row.worse and row.sure for row in rows)
    unsure = sum(row.worse and not row.sure for row in rows)
    print(f"{worse} of {len(rows)} rows worse by more than "
          f"{options.threshold * 100:g} % and outside noise")
    if unsure:
        print(f"{unsure} more may be worse: too few runs to tell (four in each "
              "file; --strict counts them)")
    return 1 if worse or (unsure and options.strict) else 0


def main(arguments=None):
    try:
        return execute(parse(arguments))
    except Problem as problem:
        print(f"bench/compare: {problem}", file=sys.stderr)
        return 2
