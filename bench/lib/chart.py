"""Charts as SVG: one row of marks for each benchmark, pymalloc is 1.

    title, what it was measured with, legend
                 0.8        1.0        1.25       1.5     axis, logarithmic
    json              |      |#########----|              bar: pimalloc
                      |      |   --o--                    mark: a rival
                      |   --x--
    geometric mean    |      |######|

A bar begins at 1, so its length is the gain or the loss; the axis is
logarithmic so that twice as fast and half as fast are equally long.  Whiskers
are 95 % intervals.  Each mark says its figures when the pointer rests on it.
"""

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

from .allocators import BASE, FLOORS, OURS
from .ratios import after_ratio, known, memory_ratio, rounds_of
from .stats import geomean_interval, interval_words, median_interval
from .svg import (BAND, GRID, INK, SOFT, STYLES, box, number, page, segment,
                  styles_of, symbol, text)

WIDTH = 900
RIGHT = 94                      # of the plot, for pimalloc's figures
LEFT_LEAST, LETTER = 120, 6.9   # for the names, and what one letter takes
BAR, LANE, GAP = 10, 7, 10      # heights: the bar, each rival, between rows
ROWS_AT_MOST = 32               # more are spread over several charts


class Kind(NamedTuple):
    """What a chart is of."""
    name: str
    title: str
    left: str       # what it means to lie left of 1
    right: str


TIME = Kind("time", "Speed against pymalloc", "slower", "faster")
MEMORY = Kind("memory", "Peak resident memory against pymalloc",
              "less memory", "more memory")
AFTER = Kind("after", "Memory that stays after the work against pymalloc",
             "less memory", "more memory")


class Line(NamedTuple):
    """A benchmark: its marks, as {allocator: Interval}."""
    name: str
    marks: dict
    total: bool = False


# --- figures ------------------------------------------------------------------

def of_round(kind, base, value):
    if kind is TIME:
        return base.seconds / value.seconds
    return (memory_ratio if kind is MEMORY else after_ratio)(base, value)


def line_values(kind, runs, allocator, rounds):
    """Of each round, against pymalloc in the same round."""
    pairs = [(runs[BASE].get(number), runs[allocator].get(number))
             for number in rounds]
    return [of_round(kind, *pair) if None not in pair else None
            for pair in pairs]


def chart_lines(kind, rows, allocators):
    """The lines of a chart; the geometric mean, over rows that all of the
    chart's allocators have run, is the last."""
    rounds = rounds_of(rows)
    lines, columns = [], {name: [] for name in allocators}
    for row, runs in rows.items():
        if BASE not in runs:
            continue
        marks = {}
        for allocator in allocators:
            values = (line_values(kind, runs, allocator, rounds)
                      if allocator in runs else [])
            if known(values):
                marks[allocator] = median_interval(known(values))
                columns[allocator].append(values)
        if marks:
            lines.append(Line(row, marks))
    totals = {name: geomean_interval(values)
              for name, values in columns.items()
              if len(values) == len(lines) > 1}
    if totals:
        lines.append(Line("geometric mean", totals, True))
    return lines


# --- the axis -----------------------------------------------------------------

# In the order in which they are wanted.
WIDE = 60                       # highest to lowest ratio
WIDE_TICKS = (1, 10, 0.1, 100, 0.01, 1000, 0.001, 3, 0.3, 30, 0.03, 2, 0.5, 5,
              0.2)
TICKS = (1, 2, 0.5, 4, 0.25, 1.5, 8, 0.1, 1.2, 0.8, 1.1, 0.9, 3, 0.7, 16, 1.3,
         0.6, 10, 0.4, 1.4, 0.3, 6, 0.05, 32, 20, 0.2, 0.02, 50, 100, 0.01,
         1.75, 5, 2.5, 200, 500, 1000, 0.95, 1.05)
TICK_SPACE = 42                 # pixels, at least


def label_of(row):
    """The name without what says how it is timed."""
    return row[:-len("/real_time")] if row.endswith("/real_time") else row


class Axis:
    """Ratios to pixels, logarithmic."""

    def __init__(self, values, left, right):
        low = min(min(values), 1 / 1.08) / 1.03
        high = max(max(values), 1.08) * 1.03
        self.low, self.high = math.log(low), math.log(high)
        self.left, self.right = left, right

    def x(self, ratio):
        share = (math.log(ratio) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)

    def inside(self, ratio):
        return self.low <= math.log(ratio) <= self.high

    def ticks(self):
        """Round ratios, as many as there is room for."""
        chosen = []
        wide = self.high - self.low > math.log(WIDE)
        for tick in WIDE_TICKS if wide else TICKS:
            if self.inside(tick) and all(
                    abs(self.x(tick) - self.x(other)) >= TICK_SPACE
                    for other in chosen):
                chosen.append(tick)
        return sorted(chosen)


def tick_text(ratio):
    return "1" if ratio == 1 else f"{ratio:g}x"


def figure_text(ratio):
    return f"{ratio:.2f}x" if ratio >= 0.1 else f"{ratio:.3f}x"


# --- drawing ------------------------------------------------------------------

def whisker(axis, interval, y, colour, height):
    if interval.low is None:
        return ""
    low, high = axis.x(interval.low), axis.x(interval.high)
    ends = "".join(segment(x, y - height / 2, x, y + height / 2, colour, 1.2)
                   for x in (low, high))
    return segment(low, y, high, y, colour, 1.2) + ends


def described(line, allocator, interval):
    content = f"{line.name}, {allocator}: {interval.middle:.3f}"
    if interval.low is not None:
        content += f" [{interval.low:.3f}, {interval.high:.3f}]"
    return f"<title>{escape(content)}</title>"


class Chart:
    """One SVG; `lines` and `allocators` in the order they are drawn."""

    def __init__(self, kind, heading, facts, lines, allocators, rounds=1):
        self.kind, self.heading, self.facts = kind, heading, facts
        self.lines = lines
        self.allocators = [name for name in allocators
                           if any(name in line.marks for line in lines)]
        self.rivals = [name for name in self.allocators
                       if name != OURS and name not in FLOORS]
        self.styles = styles_of(self.allocators)
        values = [bound for line in lines for interval in line.marks.values()
                  for bound in interval if bound is not None]
        self.rounds = rounds
        self.left = max(LEFT_LEAST, 36 + LETTER * max(
            len(label_of(line.name)) * (1.12 if line.total else 1)
            for line in lines))
        self.axis = Axis(values, self.left, WIDTH - RIGHT)
        self.row_height = 1 + BAR + LANE * len(self.rivals) + GAP
        self.top = 112 + 20 * (len(self.legend_rows()) - 1)
        self.bottom = self.top + self.row_height * len(lines)

    # The legend is one line, or two if there are many.
    def legend_rows(self):
        entries = [(name, 34 + 7.2 * len(name)) for name in self.allocators]
        rows, used = [[]], 0.0
        for name, width in entries:
            if used + width > WIDTH - 290 and rows[-1]:
                rows.append([])
                used = 0.0
            rows[-1].append((name, used))
            used += width
        return rows

    def legend(self):
        parts = []
        for place, entries in enumerate(self.legend_rows()):
            y = 70 + 20 * place
            for name, offset in entries:
                x = 20 + offset
                colour, shape = self.styles[name]
                parts.append(box(x, y - 9, 16, 9, colour) if shape == "bar"
                             else symbol(shape, x + 8, y - 4.5, colour))
                parts.append(text(x + 22, y, name, 12))
        note = "logarithmic"
        if self.rounds > 1:
            note += f"; whiskers: {interval_words(self.rounds)}"
        parts.append(text(WIDTH - 28, 70, note, 11, SOFT, "end"))
        return parts

    def frame(self):
        """The axis, above and below the rows, and the line at 1."""
        axis, one = self.axis, self.axis.x(1)
        parts = [box(20, self.top + self.row_height * place, WIDTH - 40,
                     self.row_height, BAND)
                 for place in range(0, len(self.lines), 2)]
        for ratio in axis.ticks():
            x = axis.x(ratio)
            if ratio != 1:
                parts.append(segment(x, self.top, x, self.bottom, GRID))
            label = tick_text(ratio)
            weight = "bold" if ratio == 1 else None
            for y in (self.top - 6, self.bottom + 15):
                parts.append(text(x, y, label, 11, INK if ratio == 1 else SOFT,
                                  "middle", weight))
        if OURS in self.allocators:
            parts.append(text(WIDTH - 28, self.top - 6, OURS, 11,
                              STYLES[OURS][0], "end", "bold"))
        y = self.bottom + 33
        parts.append(text(one, y, "pymalloc", 11, INK, "middle", "bold"))
        if one - self.left > 110:
            parts.append(text(self.left, y, f"\u2190 {self.kind.left}", 11,
                              SOFT))
        if WIDTH - RIGHT - one > 110:
            parts.append(text(WIDTH - RIGHT, y, f"{self.kind.right} \u2192",
                              11, SOFT, "end"))
        return parts

    def bar(self, line, interval, y):
        colour = self.styles[OURS][0]
        one, x = self.axis.x(1), self.axis.x(interval.middle)
        return (f"<g>{described(line, OURS, interval)}"
                + box(min(one, x), y, max(abs(x - one), 0.8), BAR, colour)
                + whisker(self.axis, interval, y + BAR / 2, "#00304d", 6)
                + "</g>")

    def mark(self, line, name, interval, y):
        colour, shape = self.styles[name]
        return (f"<g>{described(line, name, interval)}"
                + whisker(self.axis, interval, y, colour, 4.4)
                + symbol(shape, self.axis.x(interval.middle), y, colour)
                + "</g>")

    def row(self, line, y):
        parts = []
        middle = y + (self.row_height - GAP) / 2
        if line.total:
            parts.append(segment(20, y - GAP / 2, WIDTH - 20, y - GAP / 2,
                                 SOFT, 0.8))
        parts.append(text(self.left - 12, middle + 4, label_of(line.name),
                          12, INK, "end", "bold" if line.total else None))
        ours = line.marks.get(OURS)
        if ours:
            parts.append(self.bar(line, ours, y))
            parts.append(text(WIDTH - 28, middle + 4, figure_text(ours.middle),
                              12, STYLES[OURS][0], "end", "bold"))
        for name in FLOORS:  # limits, so they cross the bar's lane
            if name in line.marks:
                parts.append(self.mark(line, name, line.marks[name],
                                       y + BAR / 2))
        for place, name in enumerate(self.rivals):
            if name in line.marks:
                parts.append(self.mark(line, name, line.marks[name],
                                       y + BAR + LANE * (place + 0.5) + 1))
        return parts

    def svg(self):
        parts = [*self.legend(), *self.frame()]
        for place, line in enumerate(self.lines):
            parts += self.row(line, self.top + GAP / 2
                              + place * self.row_height)
        one = self.axis.x(1)
        parts.append(segment(one, self.top, one, self.bottom, INK, 1.4))
        return page(WIDTH, self.bottom + 48,
                    f"{self.kind.title}: {self.heading}", self.facts, parts)


# --- all charts of a run ------------------------------------------------------

def spread(lines):
    """The lines in charts of about the same size, a pattern never split; the
    geometric mean goes with the last."""
    families = {}
    for line in lines:
        families.setdefault(line.name.split("/")[0], []).append(line)
    count = math.ceil(len(lines) / ROWS_AT_MOST)
    charts = [[]]
    for family in families.values():
        full = len(charts[-1]) + len(family) / 2 > len(lines) / count
        if full and len(charts) < count:
            charts.append([])
        charts[-1] += family
    return charts


def draw(groups, ranked, headings, facts, of_time_only=()):
    """{file name: SVG} of all groups; `headings` maps a group to words."""
    files = {}
    for group, rows in groups.items():
        present = {name for runs in rows.values() for name in runs}
        allocators = [name for name in ranked
                      if name in present and name != BASE]
        for kind in (TIME, *(() if group in of_time_only
                             else (MEMORY, AFTER))):
            charts = spread(chart_lines(kind, rows, allocators))
            for place, lines in enumerate(charts):
                if not lines:
                    continue
                part = f"-{place + 1}" if len(charts) > 1 else ""
                name = f"{group.replace('/', '-')}-{kind.name}{part}.svg"
                files[name] = Chart(kind, headings[group], facts[group],
                                    lines, allocators,
                                    len(rounds_of(rows))).svg()
    return files
