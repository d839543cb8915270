#!/usr/bin/env python3
"""Check documents of the OpenMetrics 1.0 text exposition.

    check_openmetrics.py DOCUMENT...

The whole line grammar of the specification, with its MUSTs on families, types,
units, suffixes, values and label sets, and these SHOULDs: TYPE, UNIT, HELP in this
order, one set of label names in a family, no undefined escapes.  What the
buckets and quantiles of histograms and summaries mean is not looked at.

Prints one line per breach, as file:line: what; exits with 1 if any.  Python 3.9,
nothing else.
"""

import re
import sys

SUFFIXES = {  # of samples, by type
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "stateset": ("",),
    "info": ("_info",),
    "summary": ("", "_count", "_sum", "_created"),
    "unknown": ("",),
}
WITHOUT_UNIT = ("info", "stateset")
WITH_EXEMPLAR = ("_total", "_bucket")
METADATA = ("TYPE", "UNIT", "HELP")

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
ESCAPED = r'(?:[^\n"\\]|\\[n"\\])*'
LABEL = rf'[a-zA-Z_][a-zA-Z0-9_]*="{ESCAPED}"'
LABELS = rf"\{{(?:{LABEL}(?:,{LABEL})*)?\}}"
REAL = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
NUMBER = rf"(?:{REAL}|[+-]?(?i:inf|infinity)|(?i:nan))"

METADATA_LINE = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (.*)")
SAMPLE_LINE = re.compile(
    rf"({NAME})({LABELS})? ({NUMBER})(?: ({REAL}))?"
    rf"(?: # ({LABELS}) ({NUMBER})(?: ({REAL}))?)?")
ONE_LABEL = re.compile(rf'([a-zA-Z_][a-zA-Z0-9_]*)="({ESCAPED})"')
HELP_TEXT = re.compile(ESCAPED)
UNIT_TEXT = re.compile(r"[a-zA-Z0-9_:]*")


class Family:
    def __init__(self, name):
        self.name = name
        self.metadata = {}
        self.sampled = False
        self.label_names = None
        self.points = {}  # label set -> last timestamp
        self.current = None  # label set of the samples being read

    @property
    def type(self):
        return self.metadata.get("TYPE", "unknown")

    def sample_names(self):
        return {self.name + suffix for suffix in SUFFIXES[self.type]}


def unescape(text):
    return re.sub(r'\\([n"\\])', lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), text)


class Checker:
    """Reads a document line by line; breaches are (line number, sentence)."""

    def __init__(self):
        self.breaches = []
        self.families = {}
        self.family = None
        self.number = 0
        self.seen = set()  # samples

    def breach(self, what):
        self.breaches.append((self.number, what))

    # --- families ---

    def begin_family(self, name):
        if name in self.families:
            self.breach(f"family {name} is there already; families must not be interleaved")
        self.family = self.families[name] = Family(name)

    def metadata_line(self, kind, name, value):
        if self.family is None or self.family.name != name:
            self.begin_family(name)
        family = self.family
        if family.sampled:
            self.breach(f"{kind} of {name} comes after its samples")
        if kind in family.metadata:
            self.breach(f"{kind} of {name} twice")
        if any(METADATA.index(kind) < METADATA.index(before) for before in family.metadata):
            self.breach(f"{kind} of {name}: the order is TYPE, UNIT, HELP")
        if kind == "TYPE" and value not in SUFFIXES:
            self.breach(f"{value!r} is no type")
            value = "unknown"
        if kind == "UNIT" and not UNIT_TEXT.fullmatch(value):
            self.breach(f"{value!r} is no unit")
        if kind == "HELP" and not HELP_TEXT.fullmatch(value):
            self.breach("HELP is not escaped well")
        family.metadata[kind] = value
        self.check_unit(family)

    def check_unit(self, family):
        unit = family.metadata.get("UNIT", "")
        if unit and not family.name.endswith("_" + unit):
            self.breach(f"{family.name} does not end in _{unit}")
        if unit and family.type in WITHOUT_UNIT:
            self.breach(f"a family of type {family.type} has no unit")

    # --- samples ---

    def labels_of(self, text):
        pairs = ONE_LABEL.findall(text or "")
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            self.breach("a label twice in one set")
        for name in names:
            if name.startswith("_"):
                self.breach(f"label {name}: names that begin with _ are reserved")
        # An empty value is as good as no label.
        return frozenset((name, unescape(value)) for name, value in pairs if value)

    def sample_line(self, match):
        name, labels, value, timestamp, exemplar = match.group(1, 2, 3, 4, 5)
        family = self.family
        if family is None or name not in family.sample_names():
            if "_" in name and self.family_of(name):
                self.breach(f"{name} is no sample of {family.name if family else 'a family'}, "
                            "or stands apart from its family")
                return
            if family is not None and name.startswith(family.name):
                self.breach(f"{name}: a {family.type} has {sorted(family.sample_names())}")
                return
            self.begin_family(name)  # without metadata: unknown
            family = self.family
        family.sampled = True
        label_set = self.labels_of(labels)
        self.check_value(family, name, label_set, value)
        self.check_point(family, name, label_set, timestamp)
        if exemplar is not None:
            self.check_exemplar(family, name, exemplar)

    def family_of(self, sample):
        return next((f for f in self.families.values() if sample in f.sample_names()), None)

    def check_value(self, family, name, label_set, value):
        number = float(value)
        if family.type == "counter" and not 0 <= number < float("inf"):
            self.breach(f"{value} is nothing that a counter counts to")
        if family.type == "info" and number != 1:
            self.breach("the value of an info is 1")
        if family.type == "stateset":
            if number not in (0, 1):
                self.breach("the value of a state is 0 or 1")
            if family.name not in dict(label_set):
                self.breach(f"a state has a label {family.name}")

    def check_point(self, family, name, label_set, timestamp):
        key = (name, label_set, timestamp)
        if key in self.seen:
            self.breach(f"{name} twice with the labels {sorted(label_set)}")
        self.seen.add(key)
        # The samples of one metric stand together, whatever le, quantile and
        # state they are of.
        own = frozenset((n, v) for n, v in label_set
                        if n not in ("le", "quantile", family.name))
        names = {n for n, _ in own}
        if family.label_names is None:
            family.label_names = names
        elif names != family.label_names:
            self.breach(f"labels {sorted(names)}, others of {family.name} have "
                        f"{sorted(family.label_names)}")
        if own != family.current and own in family.points:
            self.breach(f"samples with the labels {sorted(own)} are interleaved")
        before = family.points.get(own)
        if before is not None and timestamp is not None and float(timestamp) < before:
            self.breach("timestamps go back")
        family.current = own
        family.points[own] = float(timestamp) if timestamp is not None else None

    def check_exemplar(self, family, name, labels):
        if name[len(family.name):] not in WITH_EXEMPLAR:
            self.breach(f"{name} must not have an exemplar")
        if sum(len(n) + len(v) for n, v in self.labels_of(labels)) > 128:
            self.breach("the labels of the exemplar are too long")

    # --- the document ---

    def line(self, text):
        match = METADATA_LINE.fullmatch(text)
        if match:
            self.metadata_line(*match.groups())
            return
        match = SAMPLE_LINE.fullmatch(text)
        if match:
            self.sample_line(match)
            return
        self.breach(f"neither metadata nor a sample: {text!r}")

    def check_clashes(self):
        owner = {}
        for family in self.families.values():
            if family.name.startswith("_"):
                self.breach(f"family {family.name}: names that begin with _ are reserved")
            for name in sorted(family.sample_names()):
                if name in owner:
                    self.breach(f"{name} could be of {owner[name]} and of {family.name}")
                owner[name] = family.name

    def document(self, data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            self.breach(f"not UTF-8: {error}")
            return
        if text.startswith("\ufeff"):
            self.breach("a byte order mark")
        if "\r" in text:
            self.breach("a carriage return")
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        if not lines or lines.pop() != "# EOF":
            self.breach("does not end with # EOF")
            return
        for text in lines:
            self.number += 1
            self.line(text)
        self.check_clashes()


def check(data):
    """All breaches of a document (bytes), as (line number, sentence)."""
    checker = Checker()
    checker.document(data)
    return checker.breaches


def samples(data):
    """The samples of a valid document: {(name, labels): number}."""
    result = {}
    for line in data.decode("utf-8").split("\n"):
        match = SAMPLE_LINE.fullmatch(line)
        if match:
            labels = frozenset((n, unescape(v)) for n, v in ONE_LABEL.findall(match.group(2) or ""))
            result[match.group(1), labels] = int(match.group(3))
    return result


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = False
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            for number, what in check(file.read()):
                print(f"{path}:{number}: {what}")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
