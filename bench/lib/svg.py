"""What charts are drawn with.

The colours are those of Okabe and Ito, which people with any kind of colour
vision can tell apart; the shapes differ as well.
"""

from xml.sax.saxutils import escape

from .allocators import BASE, FLOOR, ORDERED, OURS

FONT = ("-apple-system, BlinkMacSystemFont, 'Segoe UI', 'DejaVu Sans', "
        "Helvetica, Arial, sans-serif")
INK, SOFT, GRID = "#222222", "#5f6368", "#dcdfe3"
BAND = "#f5f6f8"                # behind every second row

STYLES = {OURS: ("#0072b2", "bar"), BASE: (INK, "square"),
          "mimalloc": ("#d55e00", "circle"), "glibc": ("#777777", "square"),
          "jemalloc": ("#009e73", "up"), "tcmalloc": ("#b5548f", "diamond"),
          "rpmalloc": ("#c98900", "down"), "libmimalloc": ("#56b4e9", "circle"),
          FLOOR: ("#000000", "stroke"), ORDERED: ("#7d8590", "stroke")}
SPARE = (("#806a00", "diamond"), ("#7a5fb0", "square"), ("#8c3b00", "circle"))


def styles_of(allocators):
    """{name: (colour, shape)}."""
    spare = iter(SPARE * 3)
    return {name: STYLES.get(name) or next(spare) for name in allocators}


def number(value):
    return f"{value:.1f}".rstrip("0").rstrip(".")


def text(x, y, content, size=12, fill=INK, anchor="start", weight=None):
    bold = f' font-weight="{weight}"' if weight else ""
    return (f'<text x="{number(x)}" y="{number(y)}" font-size="{size}" '
            f'fill="{fill}" text-anchor="{anchor}"{bold}>'
            f'{escape(content)}</text>')


def segment(x1, y1, x2, y2, colour, width=1.0, more=""):
    return (f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" '
            f'y2="{number(y2)}" stroke="{colour}" '
            f'stroke-width="{number(width)}"{more}/>')


def box(x, y, width, height, fill):
    return (f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" fill="{fill}"/>')


def polygon(points, fill):
    corners = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polygon points="{corners}" fill="{fill}"/>'


def symbol(shape, x, y, colour):
    """A mark of about seven pixels."""
    if shape == "circle":
        return (f'<circle cx="{number(x)}" cy="{number(y)}" r="3.4" '
                f'fill="{colour}"/>')
    if shape == "square":
        return box(x - 3, y - 3, 6, 6, colour)
    if shape == "stroke":
        return segment(x, y - 6.5, x, y + 6.5, colour, 2.4)
    sign = 1 if shape == "up" else -1
    if shape == "diamond":
        return polygon([(x - 4, y), (x, y - 4), (x + 4, y), (x, y + 4)],
                       colour)
    return polygon([(x - 3.8, y + 3.2 * sign), (x + 3.8, y + 3.2 * sign),
                    (x, y - 3.6 * sign)], colour)


def page(width, height, title, facts, parts):
    """The whole SVG: the title, a line of facts, and what is drawn."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width)}" '
        f'height="{number(height)}" viewBox="0 0 {number(width)} '
        f'{number(height)}" role="img" font-family="{escape(FONT)}">',
        f"<title>{escape(title)}</title>",
        box(0, 0, width, height, "#ffffff"),
        text(20, 28, title, 17, weight="bold"),
        text(20, 47, facts, 11.5, SOFT), *parts, "</svg>"]) + "\n"
