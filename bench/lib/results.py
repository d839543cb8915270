"""The file that keeps every run, in Google Benchmark's format.

    {"context": {machine, Pythons, allocators, settings, command},
     "benchmarks": [{"name": "macro/stock/json/pimalloc",
                     "run_type": "iteration", "repetition_index": 0,
                     "repetitions": 10, "real_time": .., "cpu_time": ..,
                     "time_unit": "ms", "ratio_time": "cpu_time",
                     "peak_kb": .., ...}, ...]}

Nothing is condensed, so every ratio and interval can be computed again.  Tools
for Google Benchmark read it: repetition_index is the round, and all entries of
a name are its repetitions.
"""

import json
import os
from typing import NamedTuple, Optional

from .problem import Problem

IN_TWO = ("macro", "aged", "server")  # groups are named by two words
BUSY_ENOUGH = 0.95   # of the processors that a row of several threads wants
FACTORS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


class Value(NamedTuple):
    """One run of a row on one allocator."""
    seconds: float            # by the clock that ratios of the row are taken of
    peak_kb: Optional[float]
    real_seconds: float
    after_kb: Optional[float] = None  # resident some time after the work


def write(path, context, rows):
    """Whole or not at all."""
    text = json.dumps({"context": context, "benchmarks": rows}, indent=1)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def load(path):
    """The document; Problem if it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Problem(f"{path}: not JSON ({error}); run Google Benchmark with "
                      "--benchmark_out_format=json") from None
    if not isinstance(document, dict) or not isinstance(
            document.get("benchmarks"), list):
        raise Problem(f"{path}: has no list of benchmarks; it must be a "
                      "results.json of bench/run or Google Benchmark's JSON")
    return document


def seconds_of(entry, which):
    factor = FACTORS.get(entry.get("time_unit", "ns"))
    if factor is None:
        raise Problem(f"{entry['name']}: the time unit {entry['time_unit']!r} "
                      "is unknown")
    return entry[which] * factor


def value_of(entry):
    return Value(seconds_of(entry, entry.get("ratio_time", "cpu_time")),
                 entry.get("peak_kb"), seconds_of(entry, "real_time"),
                 entry.get("after_kb"))


def group_of(name):
    """'macro/stock' of 'macro/stock/json/pimalloc'."""
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] in IN_TWO else parts[0]


def ran_by(group):
    """The group that ran it: 'server' has more than one table."""
    return group.split("/")[0] if group.startswith("server/") else group


def disturbed(entry):
    """Whether the threads of a micro row had to share a processor with one
    another or with something else.  Such a time is two or three times too
    long and says nothing of the allocator."""
    return entry.get("busy", 1.0) < BUSY_ENOUGH


def collate(rows, ranked=()):
    """{group: {row: {allocator: {round: Value}}}}: groups and rows in the
    order of the file, a row without its group ('json', 'pair/32'), allocators
    in the order of `ranked`."""
    groups = {}

    def rank(pair):
        return (list(ranked) + [pair[0]]).index(pair[0])

    for entry in rows:
        if disturbed(entry):
            continue
        group = group_of(entry["name"])
        row, _, allocator = entry["name"][len(group) + 1:].rpartition("/")
        groups.setdefault(group, {}).setdefault(row, {}).setdefault(
            allocator, {})[entry["repetition_index"]] = value_of(entry)
    return {group: {row: dict(sorted(runs.items(), key=rank))
                    for row, runs in by_row.items()}
            for group, by_row in groups.items()}
