"""What the servers did, in their own units, beside the ratios of times.

Figures are medians of the rounds.  A ratio is to vanilla CPython's (pymalloc)
in the same round: of requests above 1 is better, of all else below 1.
"""

from statistics import median

from .allocators import BASE
from .server import REQUESTS
from .stats import median_interval

# (heading, factor, digits, field of a row of server/requests)
QUANTITIES = (("requests per second", 1, 1, "requests_per_second"),
              ("processor ms per request", 1, 2, "cpu_time"),
              ("p50, ms", 1, 1, "p50_ms"), ("p99, ms", 1, 1, "p99_ms"),
              ("MiB before", 1 / 1024, 1, "before_kb"),
              ("MiB after", 1 / 1024, 1, "after_kb"),
              ("MiB at most", 1 / 1024, 1, "peak_kb"))


def collate(rows):
    """{server: {allocator: {round: row}}}."""
    servers = {}
    for row in rows:
        table, _, rest = row["name"].rpartition("/")[0].rpartition("/")
        if table == REQUESTS:
            allocator = row["name"].rpartition("/")[2]
            servers.setdefault(rest, {}).setdefault(allocator, {})[
                row["repetition_index"]] = row
    return servers


def cell(runs, base, quantity):
    """A median and how it stands to vanilla's."""
    _, factor, digits, field = quantity
    middle = median(row[field] for row in runs.values()) * factor
    text = f"{middle:.{digits}f}"
    ratios = [row[field] / base[number][field] for number, row in runs.items()
              if runs is not base and base.get(number, {}).get(field)]
    if ratios:
        ratio = median_interval(ratios)
        text += f" ({ratio.middle:.2f}"
        if ratio.low is not None:
            text += f" [{ratio.low:.2f}, {ratio.high:.2f}]"
        text += ")"
    return text


def cells(rows, ranked):
    """A table as lists of words, or [] without rows of servers."""
    servers = collate(rows)
    if not servers:
        return []
    names = [name for name in ranked
             if any(name in runs for runs in servers.values())]
    table = [["server", "", *names]]
    for server, by_allocator in servers.items():
        base = by_allocator.get(BASE, {})
        for quantity in QUANTITIES:
            table.append([server, quantity[0],
                          *(cell(by_allocator[name], base, quantity)
                            if name in by_allocator else "-"
                            for name in names)])
    return table
