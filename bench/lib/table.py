"""The figures as text and as Markdown.

First the geometric means, then every row: pimalloc's own time and peak, and
against each rival the ratio of the times and of the memory, with its interval.
"""

from statistics import median
from typing import NamedTuple

from .allocators import BASE, OURS
from .ratios import parallel_gain, parallel_rows, rounds_of
from .results import group_of
from .stats import interval_words

SHARE = 0.97   # of the processors; less is worth a word
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def time_text(seconds):
    """Three digits and a unit."""
    for factor, unit in UNITS:
        if seconds >= factor or unit == "ns":
            value = seconds / factor
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return ""


def interval_text(interval, digits=3):
    if interval is None:
        return "-"
    if interval.low is None:
        return f"{interval.middle:.{digits}f}"
    return (f"{interval.middle:.{digits}f} "
            f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]")


def layout(rows, markdown=False, left=1):
    """Lines of a table; the first row is the heading, the first `left`
    columns are text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |" if markdown
                     else "  ".join(cells).rstrip())
        if number == 0 and markdown:
            rule = ["-" * width if i < left else "-" * (width - 1) + ":"
                    for i, width in enumerate(widths)]
            lines.append("| " + " | ".join(rule) + " |")
    return lines


# --- geometric means ----------------------------------------------------------

def geomean_rows(summaries):
    rows = [["group", "against", "rows", "time", "memory", "after",
             "worst row", "heaviest row"]]
    for group, by_rival in summaries.items():
        for rival, summary in by_rival.items():
            heavy = summary.heaviest
            rows.append([
                group, rival, str(len(summary.rows)),
                interval_text(summary.time), interval_text(summary.memory),
                interval_text(summary.after),
                f"{summary.worst.time.middle:.3f} {summary.worst.name}",
                f"{heavy.memory.middle:.3f} {heavy.name}" if heavy else "-"])
    return rows


def geomean_lines(summaries):
    """One line for each group and rival; each begins with `geomean`."""
    heading, *lines = layout(geomean_rows(summaries), left=2)
    return [" " * len("geomean ") + heading,
            *(f"geomean {line}" for line in lines)]


def surely_above_one(interval):
    """Whether the interval says so, or the value alone if it has none."""
    if interval is None:
        return False
    return (interval.middle if interval.low is None else interval.low) > 1


def surely_below_one(interval):
    return (interval.middle if interval.high is None else interval.high) < 1


def loss_rows(summaries):
    """Every row where pimalloc is slower or needs more than CPython's own,
    outside the interval; the worst first."""
    found = []
    for group, by_rival in summaries.items():
        for rival in (BASE, "mimalloc"):
            for row in by_rival[rival].rows if rival in by_rival else ():
                slower = surely_below_one(row.time)
                more = surely_above_one(row.memory)
                if slower or more:
                    found.append((row.time.middle, [
                        group, row.name, rival,
                        interval_text(row.time) if slower else "",
                        interval_text(row.memory) if more else ""]))
    found.sort()
    return [["group", "row", "against", "slower: time", "more: memory"],
            *(cells for _, cells in found)]


# --- every row ----------------------------------------------------------------

class Memory(NamedTuple):
    """A figure of memory as columns of a table."""
    own: str          # the heading of pimalloc's
    ratio: str        # of the ratios, before the rival's name
    row: str          # the field of a row
    value: str        # of a run


MEMORIES = (Memory("peak MiB", "memory", "memory", "peak_kb"),
            Memory("after MiB", "after", "after", "after_kb"))


def own_memory(runs, memory):
    """pimalloc's, the median of the rounds."""
    found = [getattr(value, memory.value) for value in runs[OURS].values()
             if getattr(value, memory.value)]
    return f"{median(found) / 1024:.1f}" if found else "-"


def own_time(runs):
    return time_text(median(value.seconds for value in runs[OURS].values()))


def group_rows(rows, by_rival):
    """A table of a group: one line for each row, its rivals side by side."""
    memories = [memory for memory in MEMORIES if any(
        getattr(summary, memory.row) for summary in by_rival.values())]
    table = [["row", OURS, *(memory.own for memory in memories),
              *(f"time {rival}" for rival in by_rival),
              *(f"{memory.ratio} {rival}" for memory in memories
                for rival in by_rival)]]
    index = {rival: {row.name: row for row in summary.rows}
             for rival, summary in by_rival.items()}
    for name, runs in rows.items():
        if OURS not in runs:
            continue
        there = [index[rival].get(name) for rival in by_rival]
        ratios = [getattr(row, memory.row) if row else None
                  for memory in memories for row in there]
        table.append([name, own_time(runs),
                      *(own_memory(runs, memory) for memory in memories),
                      *(interval_text(row and row.time, 2) for row in there),
                      *(f"{one.middle:.2f}" if one else "-"
                        for one in ratios)])
    return table


def gain_rows(groups):
    """What two interpreters at once get done, one is 1: a line for each
    allocator, the programs and the patterns side by side."""
    names, patterns, found = {}, {}, {}
    for group in ("macro/embedded2", "micro"):
        for runs in groups.get(group, {}).values():
            names.update(dict.fromkeys(runs))
    for name in names:
        programs = parallel_gain(groups, name)
        rows = parallel_rows(groups, name)
        if programs or rows:
            found[name] = {"programs": programs, **rows}
            patterns.update(dict.fromkeys(found[name]))
    if not found:
        return []
    return [["two at once", *patterns],
            *([name, *(interval_text(gains.get(pattern), 2)
                       for pattern in patterns)]
              for name, gains in found.items())]


def share_lines(rows):
    """How much of the processors that they wanted the programs got, if that
    was little: their real times are too long then."""
    shares = {}
    for entry in rows:
        if "cpu_share" in entry:
            shares.setdefault(group_of(entry["name"]), []).append(
                entry["cpu_share"])
    return [f"{group}: programs had {median(found):.0%} of the processors that "
            "they wanted (median of all runs); something else used them"
            for group, found in shares.items() if median(found) < SHARE]


def skipped_lines(skipped):
    return [f"{title}: not run, {why}" for title, why in skipped.items()]


EXPLANATION = (
    "Time: the rival's to pimalloc's, above 1 pimalloc is faster. Memory: "
    "pimalloc's peak to the rival's, below 1 pimalloc needs less; after: what "
    "is resident some time after the work. Medians of paired runs; in brackets "
    "the ")


def document(groups, summaries, facts, notes, markdown, own_tables=()):
    """The whole of table.txt or table.md; `own_tables` are what each is, its
    columns of text, and its cells."""
    rounds = max(len(rounds_of(rows)) for rows in groups.values())
    parts = [facts, [EXPLANATION + interval_words(rounds) + "."],
             ["## geometric means" if markdown else "geometric means"],
             layout(geomean_rows(summaries), markdown, left=2)]
    gain = gain_rows(groups)
    if gain:
        parts.append(["What two interpreters at once get done; one is 1."])
        parts.append(layout(gain, markdown))
    for heading, left, cells in own_tables:
        parts.append([heading])
        parts.append(layout(cells, markdown, left=left))
    losses = loss_rows(summaries)
    if len(losses) > 1:
        parts.append(["## where pimalloc loses" if markdown
                      else "where pimalloc loses"])
        parts.append(layout(losses, markdown, left=3))
    for group, rows in groups.items():
        if summaries.get(group):
            parts.append([f"## {group}" if markdown else group])
            parts.append(layout(group_rows(rows, summaries[group]), markdown))
    if notes:
        parts.append(notes)
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


# --- targets ------------------------------------------------------------------

def target_lines(verdicts):
    rows = [["target", "measured", "wanted", ""]]
    for one in verdicts:
        measured = f"{one.value:.3f}"
        if one.low is not None:
            measured += f" [{one.low:.3f}, {one.high:.3f}]"
        rows.append([one.what, measured,
                     f"{'>=' if one.at_least else '<='} {one.limit:.2f}",
                     ("reached" if one.reached else "MISSED")
                     + (" ~" if one.doubtful else "")])
    return layout(rows)
