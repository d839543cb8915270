#!/usr/bin/env python3
"""The checkers accept what they must and refuse what they must.

A checker that refuses nothing proves nothing: every bad document here is a good
one with one mistake, and the breach must name it.
"""

import json
import re
import unittest
from pathlib import Path

import check_openmetrics
import check_schema
import run

ROOT = Path(__file__).resolve().parents[2]

# The example of the specification, and one of each other type.
GOOD = r"""# TYPE acme_router_seconds summary
# UNIT acme_router_seconds seconds
# HELP acme_router_seconds Latency of \\ and \n and \" all.
acme_router_seconds_sum{path="/api/v1",method="GET"} 9036.32
acme_router_seconds_count{path="/api/v1",method="GET"} 807283.0
acme_router_seconds_sum{path="/api/v2",method="POST"} 479.3 123.5
acme_router_seconds_count{path="/api/v2",method="POST"} 34.0 123.5
# TYPE go_goroutines gauge
# HELP go_goroutines Number of goroutines that currently exist.
go_goroutines 69
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total{} 4.20072246e+06 # {trace="x"} 0.5 1520879607.789
process_cpu_seconds_created{} 1520430000.123
# TYPE build info
build_info{version="8.2.7",path="C:\\\"x\"\n"} 1
# TYPE state stateset
state{state="a"} 0
state{state="b"} 1
# TYPE wait histogram
wait_bucket{le="0.1"} 8 # {} 0.054
wait_bucket{le="+Inf"} 17
wait_count 17
wait_sum 324789.3
plain{a="1"} -Inf
plain{a="2"} NaN
# EOF
"""

# (good part, bad part, a word of the breach)
BAD_METRICS = [
    ("# EOF\n", "", "EOF"),
    ("# EOF\n", "# EOF\n\n", "EOF"),
    ("# EOF\n", "# EOF\ngo_x 1\n", "EOF"),
    ("# EOF\n", "#EOF\n", "EOF"),
    ("plain{a=\"1\"}", "\nplain{a=\"1\"}", "neither"),
    ("plain{a=\"1\"}", "# a comment\nplain{a=\"1\"}", "neither"),
    ("go_goroutines 69", "go_goroutines 69\r", "carriage"),
    ("go_goroutines 69", "go_goroutines  69", "neither"),
    ("go_goroutines 69", "go_goroutines 69 ", "neither"),
    ("go_goroutines 69", "go_goroutines 6,9", "neither"),
    ("go_goroutines 69", "go_goroutines 0x69", "neither"),
    ("go_goroutines 69", "go_goroutines", "neither"),
    ("go_goroutines 69", "9go_goroutines 69", "neither"),
    ("go_goroutines 69", "go-goroutines 69", "neither"),
    ("go_goroutines 69", "go_goroutines_total 69", "has ['go_goroutines']"),
    ("go_goroutines 69", "go_goroutines 69\ngo_goroutines 70", "twice with"),
    ("go_goroutines 69", "go_goroutines 69 # {} 1", "exemplar"),
    ("{a=\"1\"}", "{a=\"1\",}", "neither"),
    ("{a=\"1\"}", "{a=1}", "neither"),
    ("{a=\"1\"}", "{a=\"1}", "neither"),
    ("{a=\"1\"}", "{a=\"\"1\"}", "neither"),
    ("{a=\"1\"}", "{a=\"\\x\"}", "neither"),
    ("{a=\"1\"}", "{a=\"1\\\"}", "neither"),
    ("{a=\"1\"}", "{a = \"1\"}", "neither"),
    ("{a=\"1\"}", "{a:b=\"1\"}", "neither"),
    ("{a=\"1\"}", "{a=\"1\",a=\"2\"}", "label twice"),
    ("{a=\"1\"}", "{__a=\"1\"}", "reserved"),
    ("{a=\"1\"}", "{a=\"2\"}", "twice with"),
    ("{a=\"1\"}", "{a=\"2\",b=\"\"}", "twice with"),
    ("{a=\"1\"}", "{b=\"1\"}", "others of plain"),
    ("# TYPE go_goroutines gauge", "# TYPE go_goroutines gouge", "no type"),
    ("# TYPE go_goroutines gauge", "# TYPE go_goroutines Gauge", "no type"),
    ("# TYPE go_goroutines gauge", "#TYPE go_goroutines gauge", "neither"),
    ("# TYPE go_goroutines gauge", "# TYPE go_goroutines gauge\n# TYPE go_goroutines gauge",
     "twice"),
    ("# TYPE go_goroutines gauge", "# TYPE go_goroutines counter", "a counter has"),
    ("# TYPE go_goroutines gauge", "# TYPE _go gauge\n# TYPE go_goroutines gauge", "reserved"),
    ("# HELP go_goroutines", "# HELP other x\n# HELP go_goroutines", "interleaved"),
    ("# HELP go_goroutines Number", "# HELP go_goroutines \"Number", "escaped"),
    ("# HELP go_goroutines Number", "# HELP go_goroutines \\Number", "escaped"),
    ("go_goroutines 69", "go_goroutines 69\n# UNIT go_goroutines goroutines", "after its"),
    ("# UNIT process_cpu_seconds seconds", "# UNIT process_cpu_seconds bytes", "_bytes"),
    ("# UNIT process_cpu_seconds seconds", "# UNIT process_cpu_seconds cpu-s", "no unit"),
    ("# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds",
     "# UNIT process_cpu_seconds seconds\n# TYPE process_cpu_seconds counter", "order"),
    ("# TYPE build info", "# TYPE build info\n# UNIT build info", "build does not end"),
    ("# TYPE state stateset", "# TYPE state stateset\n# UNIT state state", "no unit"),
    ("process_cpu_seconds_total{} 4.20072246e+06", "process_cpu_seconds_total{} -1", "counts"),
    ("process_cpu_seconds_total{} 4.20072246e+06", "process_cpu_seconds_total{} NaN", "counts"),
    ("process_cpu_seconds_total{}", "process_cpu_seconds{}", "a counter has"),
    ("build_info{version=\"8.2.7\"", "build{version=\"8.2.7\"", "a info has"),
    ("\\n\"} 1\n", "\\n\"} 2\n", "info is 1"),
    ("state{state=\"a\"} 0", "state{state=\"a\"} 2", "0 or 1"),
    ("state{state=\"a\"} 0", "state 0", "has a label"),
    ("plain{a=\"1\"} -Inf", "plain{a=\"1\"} 1\ngo_goroutines 3", "stands apart"),
    ("plain{a=\"1\"} -Inf", "# TYPE go_goroutines gauge\nplain{a=\"1\"} 1", "interleaved"),
    ("# TYPE build info", "# TYPE build_info gauge\n# TYPE build info", "could be of"),
    ("acme_router_seconds_count{path=\"/api/v1\",method=\"GET\"} 807283.0\n"
     "acme_router_seconds_sum{path=\"/api/v2\",method=\"POST\"} 479.3 123.5\n",
     "acme_router_seconds_sum{path=\"/api/v2\",method=\"POST\"} 479.3 123.5\n"
     "acme_router_seconds_count{path=\"/api/v1\",method=\"GET\"} 807283.0\n", "interleaved"),
    ("34.0 123.5", "34.0 122", "go back"),
    ("{trace=\"x\"}", "{trace=\"" + "x" * 130 + "\"}", "too long"),
    ("{trace=\"x\"}", "", "neither"),
]


class OpenMetrics(unittest.TestCase):
    def test_good_documents_are_accepted(self):
        for text in (GOOD, GOOD[:-1], "# EOF\n", "# TYPE empty gauge\n# EOF",
                     "# TYPE a gauge\na{b=\"\u00e9\x00\"} 1\n# EOF\n"):
            self.assertEqual(check_openmetrics.check(text.encode()), [])

    def test_each_mistake_is_refused_and_named(self):
        for good, bad, word in BAD_METRICS:
            with self.subTest(bad=bad):
                self.assertIn(good, GOOD)
                breaches = check_openmetrics.check(GOOD.replace(good, bad, 1).encode())
                self.assertIn(word, "; ".join(what for _, what in breaches))

    def test_bytes_that_are_no_text_are_refused(self):
        for data in (b"", b"\n", b"\xef\xbb\xbf# EOF\n", b"# TYPE a gauge\na{b=\"\xff\"} 1\n# EOF\n"):
            self.assertNotEqual(check_openmetrics.check(data), [])


USAGE = {"live_bytes": 1, "live_blocks": 1, "peak_bytes": 2**64 - 1, "peak_blocks": 1,
         "total_bytes": 2**64 - 1, "total_blocks": 1}
HEAP = {"arenas": 0, "pages": 0, "committed_bytes": 0, "remote_frees": 0}


def good_statistics():
    return {
        "schema": "pimalloc-stats", "version": 1, "pimalloc": "0.1.0", "mimalloc": "3.6.1",
        "python": "3.15.0rc1", "pid": 1, "installed": True, "active": False,
        "thread_state": {"found_by": "word", "reason": "x", "threads": {"word": 1, "call": 0}},
        "raw_source": "libc", "region_bytes": 0, "foreign_frees": 0,
        "process": {**HEAP, "domains": {"raw": USAGE, "mem": USAGE, "obj": USAGE}},
        "interpreters": [{"id": 0, "generation": 1, "state": "alive", **HEAP,
                          "domains": {"raw": USAGE, "mem": USAGE, "obj": USAGE}}],
    }


# (where, value or DELETE)
DELETE = object()
BAD_STATISTICS = [
    (("schema",), "other"), (("version",), 2), (("version",), "1"), (("version",), True),
    (("pimalloc",), None), (("pimalloc",), "0.1"), (("pimalloc",), "0.1.0\n"),
    (("mimalloc",), 30601), (("python",), "3.13"), (("python",), "3.15.0x1"),
    (("pid",), 0), (("pid",), 1.5), (("pid",), "1"), (("installed",), 1), (("active",), None),
    (("thread_state",), "word"), (("thread_state", "found_by"), "guess"),
    (("thread_state", "reason"), DELETE), (("thread_state", "more"), 1),
    (("thread_state", "threads"), DELETE), (("thread_state", "threads", "word"), -1),
    (("thread_state", "threads", "call"), DELETE), (("thread_state", "threads", "more"), 1),
    (("raw_source",), "pymalloc"), (("region_bytes",), -1), (("foreign_frees",), DELETE),
    (("process",), []), (("process", "domains", "raw"), DELETE),
    (("process", "domains", "mem", "live_bytes"), -1),
    (("process", "domains", "mem", "live_bytes"), 1.0),
    (("interpreters",), {}), (("interpreters", 0), None), (("interpreters", 0, "id"), -1),
    (("interpreters", 0, "state"), "dead"), (("interpreters", 0, "generation"), 0),
    (("interpreters", 0, "domains", "raw"), DELETE), (("interpreters", 0, "domains", "obj"), DELETE),
    (("interpreters", 0, "more"), 1), (("more",), 1),
]


def changed(where, value):
    # A copy without shared parts.
    root = json.loads(json.dumps(good_statistics()))
    place = root
    for step in where[:-1]:
        place = place[step]
    if value is DELETE:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    return json.dumps(root)


class Schema(unittest.TestCase):
    def setUp(self):
        text = (ROOT / "docs/statistics.schema.json").read_text(encoding="utf-8")
        self.schema = check_schema.load(text)

    def test_schema_uses_known_keywords_only(self):
        self.assertEqual(check_schema.lint(self.schema, self.schema), None)

    def test_good_documents_are_accepted(self):
        for where, value in ((("pid",), 7), (("mimalloc",), None), (("python",), None),
                             (("process",), None), (("interpreters",), []),
                             (("raw_source",), None)):
            self.assertEqual(check_schema.check_text(changed(where, value), self.schema), [])

    def test_each_mistake_is_refused_and_placed(self):
        for where, value in BAD_STATISTICS:
            with self.subTest(where=where, value=value):
                breaches = check_schema.check_text(changed(where, value), self.schema)
                self.assertEqual(len(breaches), 1)
                self.assertIn(str(where[-1]), breaches[0])

    def test_what_is_not_json_is_refused(self):
        good = json.dumps(good_statistics())
        for text in ("", good[:-1], good + "x", good.replace("\"pid\": 1", "\"pid\": NaN"),
                     good.replace("\"pid\": 1", "\"pid\": 01"),
                     good.replace("\"pid\": 1", "\"pid\": 1, \"pid\": 1"),
                     good.replace("\"x\"", "\"\n\"")):
            with self.subTest(text=text):
                self.assertNotEqual(text, good)
                breaches = check_schema.check_text(text, self.schema)
                self.assertIn("not JSON", breaches[0])

    def test_schemas_that_say_more_than_is_checked_are_refused(self):
        for schema in ({"maximum": 1}, {"properties": {"a": {"uniqueItems": True}}},
                       {"items": {"type": "number"}}, {"additionalProperties": {"type": "null"}},
                       {"$ref": "#/$defs/none"}, {"$ref": "http://example.org/"}):
            with self.subTest(schema=schema), self.assertRaises(check_schema.SchemaError):
                check_schema.lint(schema, schema)


class Samples(unittest.TestCase):
    """What the documents show is what the programs write."""

    def setUp(self):
        self.page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
        source = re.search(r"^```json\n(.*?)^```", self.page, re.S | re.M)[1]
        schema = (ROOT / "docs/statistics.schema.json").read_text(encoding="utf-8")
        self.assertEqual(check_schema.check_text(source, check_schema.load(schema)), [])
        self.document = json.loads(source)

    def test_text(self):
        text = re.search(r"^```\n(pimalloc \d.*?)^```", self.page, re.S | re.M)[1]
        rows = [re.sub(r" +", " ", line).strip() for line in text.split("\n")]
        for row in run.rows_of(self.document):
            self.assertIn(row, rows)
            rows.remove(row)

    def test_openmetrics(self):
        text = re.search(r"^```\n(# TYPE.*?)^```", self.page, re.S | re.M)[1]
        data = text.replace("...\n", "").encode()
        self.assertEqual(check_openmetrics.check(data), [])
        found = check_openmetrics.samples(data)
        wanted = run.samples_of(self.document)
        self.assertEqual({name: wanted.get(name) for name in found}, found)
        live = {name for name in wanted if name[0] == "pimalloc_live_bytes"}
        self.assertLessEqual(live, set(found))

    def test_readme(self):
        page = (ROOT / "README.md").read_text(encoding="utf-8")
        table = re.search(r"^interpreter +dom.*?(?=^raw is )", page, re.S | re.M)[0]
        domains = re.findall(r"^(?:interp 0|process)? +(raw|mem|obj) +\d", table, re.M)
        self.assertEqual(domains, ["raw", "mem", "obj"] * 2)


if __name__ == "__main__":
    unittest.main()
