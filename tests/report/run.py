#!/usr/bin/env python3
"""Check what a real Python's process writes (documents.c).

    run.py PROGRAM PYTHON_VERSION

Every document must pass its checker, and the three forms of one moment must say
the same of the same interpreters.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import check_openmetrics
import check_schema

SCHEMA = Path(__file__).resolve().parents[2] / "docs/statistics.schema.json"
USAGE = ("live_bytes", "live_blocks", "peak_bytes", "peak_blocks", "total_bytes", "total_blocks")
HEAP = ("arenas", "pages", "committed_bytes", "remote_frees")
OLDER_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


def expect(condition, what):
    if not condition:
        sys.exit(f"report test: expected {what}")


def heaps(document):
    """Yields (labels, figures) for each interpreter, then for the process."""
    for interp in document["interpreters"]:
        yield {"interp": str(interp["id"]), "generation": str(interp["generation"]),
               "state": interp["state"]}, interp
    if document["process"] is not None:
        yield {"interp": "process", "generation": "0", "state": "alive"}, document["process"]


def samples_of(document):
    """The OpenMetrics samples that belong to a JSON document."""
    result = {("pimalloc_active", frozenset()): int(document["active"])}
    build = {"pid": str(document["pid"]), "version": document["pimalloc"],
             "mimalloc": document["mimalloc"] or "", "python": document["python"] or "",
             "thread_state": document["thread_state"]["found_by"],
             "raw_source": document["raw_source"] or ""}
    result["pimalloc_build_info", frozenset(build.items())] = 1
    if document["installed"]:
        result["pimalloc_region_bytes", frozenset()] = document["region_bytes"]
        result["pimalloc_foreign_frees_total", frozenset()] = document["foreign_frees"]
        for way, count in document["thread_state"]["threads"].items():
            result["pimalloc_threads", frozenset({("thread_state", way)})] = count
    for labels, heap in heaps(document):
        for name in HEAP:
            suffix = "_total" if name == "remote_frees" else ""
            result[f"pimalloc_{name}{suffix}", frozenset(labels.items())] = heap[name]
        if "tree_bytes" in heap:
            result["pimalloc_tree_bytes", frozenset(labels.items())] = heap["tree_bytes"]
        for domain, usage in heap["domains"].items():
            for name in USAGE:
                key = frozenset([*labels.items(), ("domain", domain)])
                metric = name
                if name.startswith("total_"):
                    metric = f"allocated_{name.removeprefix('total_')}_total"
                result[f"pimalloc_{metric}", key] = usage[name]
    return result


def rows_of(document):
    """The rows of figures of the table that belongs to a JSON document."""
    rows = []
    several = len({i["generation"] for i in document["interpreters"]}) > 1
    for labels, heap in heaps(document):
        who = labels["interp"] if labels["interp"] == "process" else (
            f"interp {labels['interp']}" + (" ended" if labels["state"] == "ended" else ""))
        for domain, usage in heap["domains"].items():
            rows.append(f"{who} {domain} " + " ".join(f"{usage[name]:,}" for name in USAGE))
            who = ""
        counted = [f"{heap[name]:,} {noun}{'' if heap[name] == 1 else 's'}"
                   for name, noun in zip(HEAP, ("arena", "page", "byte", "remote free"))]
        parent = f", counts for interp {heap['parent']}" if heap.get("parent") is not None else ""
        runtime = f", runtime {heap['generation']}" if several and "generation" in heap else ""
        rows.append(f"{counted[0]}, {counted[1]}, {counted[2]} committed, {counted[3]}{parent}{runtime}")
    return [row.strip() for row in rows]


def read_moment(folder, moment, schema):
    text = (folder / f"{moment}.txt").read_text(encoding="utf-8")
    source = (folder / f"{moment}.json").read_text(encoding="utf-8")
    metrics = (folder / f"{moment}.prom").read_bytes()
    breaches = check_schema.check_text(source, schema)
    expect(not breaches, f"{moment}.json to be valid: {breaches}\n{source}")
    breaches = check_openmetrics.check(metrics)
    expect(not breaches, f"{moment}.prom to be valid: {breaches}\n{metrics.decode()}")
    check_older_format(metrics.decode("utf-8"))
    document = json.loads(source)
    wanted, found = samples_of(document), check_openmetrics.samples(metrics)
    expect(wanted == found, f"{moment}: the samples to be the figures of the JSON: "
                            f"{set(wanted.items()) ^ set(found.items())}")
    for line in re.sub(r" +", " ", text).split("\n"):
        expect(not re.search(r"\b1 (arenas|pages|bytes|remote frees|blocks)\b", line), line)
    if document["installed"]:
        threads = document["thread_state"]["threads"]
        counts = [f"{n:,} thread{'' if n == 1 else 's'}" for n in threads.values()]
        expect(f"(read by {counts[0]}, asked for by {counts[1]})\n" in text, text)
    rows = [re.sub(r" +", " ", line).strip() for line in text.split("\n")]
    for row in rows_of(document):
        expect(row in rows, f"{moment}: a row '{row}' in\n{text}")
        rows.remove(row)
    return text, document


def check_older_format(text):
    """Prometheus's older format has fewer types and escapes; ours are among them."""
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            expect(line.split(" ")[3] in OLDER_TYPES, f"a type known of old: {line}")
        if line.startswith("# HELP "):
            expect("\\" not in line, f"no escapes: {line}")


def check_second(document):
    """Ids repeat, generations tell them apart, nobody is lost."""
    who = [(i["id"], i["generation"], i["state"]) for i in document["interpreters"]]
    expect(len(set(who)) == len(who), f"each once: {who}")
    for interp in document["interpreters"]:
        for usage in interp["domains"].values():
            expect(usage["peak_bytes"] >= usage["live_bytes"] > 0 or interp["state"] == "ended",
                   f"sane figures of {interp}")
            expect(usage["total_bytes"] >= usage["peak_bytes"] and
                   usage["total_blocks"] >= usage["peak_blocks"] > 0, f"sane totals of {interp}")
    alive = [(i, g) for i, g, state in who if state == "alive"]
    # 3.14.0 never ends an interpreter; its own are alive in the next runtime.
    expect({(0, 2), (4, 2), (5, 2)} <= set(alive), f"the living among {who}")
    if ("ended" in {state for _, _, state in who}):
        expect({(1, 1), (2, 1), (4, 1), (5, 1), (1, 2), (2, 2)} ==
               {(i, g) for i, g, state in who if state == "ended"}, f"the ended among {who}")


def main():
    program, version = sys.argv[1:]
    with open(SCHEMA, encoding="utf-8") as file:
        schema = check_schema.load(file.read())
    check_schema.lint(schema, schema)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([program, str(folder)], check=True, stdin=subprocess.DEVNULL)
        left = [path.name for path in folder.iterdir() if path.suffix == ".tmp"]
        expect(left == [], f"no temporary file, not {left}")

        text, document = read_moment(folder, "before", schema)
        expect("not installed" in text and not document["installed"] and
               document["interpreters"] == [], "nothing before the installation")

        text, document = read_moment(folder, "first", schema)
        expect(document["active"] and ", active, " in text, "to be active")
        expect(document["python"] == version and f"CPython {version}," in text,
               f"{version}, not {document['python']}")
        expect(document["foreign_frees"] == 1, "one foreign free")
        expect("\n1 block of other allocators was left alone\n" in text, text)
        expect(2 << 20 <= document["region_bytes"] < 64 << 20, "an arena")
        expect(f": {document['region_bytes']:,} bytes" in text, text)
        expect((document["raw_source"] == "libc") == ("served by libc" in text), text)

        parents = {i["id"]: i["parent"] for i in document["interpreters"] if i["state"] == "alive"}
        expect(parents == {0: None, 4: None, 5: 4}, f"whom each counts for, not {parents}")
        four, five = (next(i for i in document["interpreters"] if i["id"] == n) for n in (4, 5))
        expect(four["tree_bytes"] == sum(usage["live_bytes"] for i in (four, five)
                                         for usage in i["domains"].values()), "sums over trees")

        text, document = read_moment(folder, "second", schema)
        check_second(document)
        expect(document["foreign_frees"] == 2, "two foreign frees")
        expect("\n2 blocks of other allocators were left alone\n" in text, text)

        text, document = read_moment(folder, "later", schema)
        expect(document["installed"] and not document["active"] and
               "not active any more" in text, "not to be active any more")
    print("report test: passed")


if __name__ == "__main__":
    main()
