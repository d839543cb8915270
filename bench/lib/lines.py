"""Line charts as SVG: panels side by side, one line for each allocator.

    title, what it was measured with, legend
    json (ms)              lists (ms)
    20 |    ____           9 |
       | __/ ____            |____________
    15 |____/              8 |
        1    8   16  24      1    8   16  24

Every panel has a scale of its own, which need not begin at 0: what is to be
seen is the way of a line, and how lines lie to one another.  A few high values
of a line may lie outside; it goes along the upper edge there.
"""

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

from .allocators import FLOORS, OURS
from .svg import (BAND, GRID, INK, SOFT, box, number, page, segment, styles_of,
                  text)

WIDTH = 900
SIDE = 20                       # left and right of all panels
LEFT, TOP, BOTTOM, GAP = 46, 26, 24, 18    # around the plot of a panel
TICKS_AT_MOST = 4
SLACK = 0.06                    # of the range, above and below
LEAST_RANGE = 0.1               # of the middle: noise is not to fill a panel


class Panel(NamedTuple):
    """`lines` maps an allocator to the y of each x; None is a gap."""
    name: str
    unit: str
    xs: list
    lines: dict
    x_ticks: tuple
    bands: tuple = ()           # (from, to) in x


class Look(NamedTuple):
    """How the panels of a chart lie."""
    columns: int
    plot_height: int
    x_title: str
    outside: float = 0.0        # share of a line's highest values


# --- the scale ----------------------------------------------------------------

def bounds(lines, outside):
    """What a panel shows of y."""
    sorted_lines = [sorted(value for value in line if value is not None)
                    for line in lines]
    low = min(line[0] for line in sorted_lines)
    high = max(line[-1 - int(outside * len(line))] for line in sorted_lines)
    least = LEAST_RANGE * (low + high) / 2 or 1.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    slack = SLACK * (high - low)
    return max(0.0, low - slack), high + slack


def y_ticks(low, high):
    """Round numbers between the two."""
    step = 10 ** math.floor(math.log10((high - low) / TICKS_AT_MOST))
    for factor in (1, 2, 5, 10):
        first = math.ceil(low / (step * factor))
        last = math.floor(high / (step * factor))
        if last - first < TICKS_AT_MOST:
            break
    return [place * step * factor for place in range(first, last + 1)]


# --- drawing ------------------------------------------------------------------

def dash(name):
    return ' stroke-dasharray="4 3"' if name in FLOORS else ""


def polyline(points, colour, width, name, title):
    spots = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return (f'<polyline points="{spots}" fill="none" stroke="{colour}" '
            f'stroke-width="{number(width)}" stroke-linejoin="round"'
            f'{dash(name)}><title>{escape(title)}</title></polyline>')


def runs_of(points):
    """The points without gaps: lists of pairs."""
    found = [[]]
    for x, y in points:
        if y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [run for run in found if run]


class Drawn:
    """A Panel at its place."""

    def __init__(self, panel, x, y, width, look, styles):
        self.panel, self.styles = panel, styles
        self.left, self.right = x + LEFT, x + width - 6
        self.top, self.bottom = y + TOP, y + TOP + look.plot_height
        self.low, self.high = bounds(panel.lines.values(), look.outside)

    def x(self, value):
        first, last = self.panel.xs[0], self.panel.xs[-1]
        share = (value - first) / (last - first or 1)
        return self.left + share * (self.right - self.left)

    def y(self, value):
        share = min(1, (value - self.low) / (self.high - self.low))
        return self.bottom - share * (self.bottom - self.top)

    def frame(self):
        panel = self.panel
        yield text(self.left - LEFT + 4, self.top - 9, panel.name, 12, INK,
                   weight="bold")
        yield text(self.right, self.top - 9, panel.unit, 10.5, SOFT, "end")
        for begin, end in panel.bands:
            yield box(self.x(begin), self.top, self.x(end) - self.x(begin),
                      self.bottom - self.top, BAND)
        for tick in y_ticks(self.low, self.high):
            yield segment(self.left, self.y(tick), self.right, self.y(tick),
                          GRID)
            yield text(self.left - 5, self.y(tick) + 3.5, f"{tick:g}", 10,
                       SOFT, "end")
        for tick in panel.x_ticks:
            yield text(self.x(tick), self.bottom + 13, f"{tick:g}", 10, SOFT,
                       "middle")
        yield segment(self.left, self.bottom, self.right, self.bottom, SOFT)

    def lines(self):
        # pimalloc is drawn last, above the others.
        for name, line in sorted(self.panel.lines.items(),
                                 key=lambda pair: pair[0] == OURS):
            colour = self.styles[name][0]
            width = 2.2 if name == OURS else 1.3
            for run in runs_of(zip(self.panel.xs, line)):
                points = [(self.x(x), self.y(y)) for x, y in run]
                yield polyline(points, colour, width, name,
                               f"{self.panel.name}, {name}: {run[0][1]:.4g} "
                               f"to {run[-1][1]:.4g} {self.panel.unit}")

    def parts(self):
        return [*self.frame(), *self.lines()]


def legend(names, styles, y):
    parts, x = [], SIDE
    for name in names:
        colour = styles[name][0]
        parts.append(segment(x, y - 4, x + 20, y - 4, colour,
                             3 if name == OURS else 2, dash(name)))
        parts.append(text(x + 26, y, name, 12))
        x += 44 + 7.2 * len(name)
    return parts


def draw(title, facts, panels, ranked, look):
    """The SVG of a chart; allocators in the order of `ranked`."""
    names = [name for name in ranked
             if any(name in panel.lines for panel in panels)]
    styles = styles_of(names)
    parts = legend(names, styles, 70)
    width = (WIDTH - 2 * SIDE) / look.columns
    height = TOP + look.plot_height + BOTTOM + GAP
    for place, panel in enumerate(panels):
        row, column = divmod(place, look.columns)
        parts += Drawn(panel, SIDE + column * width, 84 + row * height, width,
                       look, styles).parts()
    rows = math.ceil(len(panels) / look.columns)
    end = 84 + rows * height
    parts.append(text(WIDTH - SIDE, end + 4, look.x_title, 11, SOFT, "end"))
    return page(WIDTH, end + 16, title, facts, parts)
