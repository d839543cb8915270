#!/usr/bin/env python3
"""The forms of a profile say what the profile says.

    test_profiles.py PROGRAM

PROGRAM is profiles.c, which writes the profiles of made_up.py.
"""

import errno
import json
import os
import re
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

import made_up
import read_pprof

PROGRAM = ""
SPEEDSCOPE = "https://www.speedscope.app/file-format-schema.json"
LABELS = {"live_bytes": "live bytes", "live_blocks": "live blocks",
          "total_bytes": "allocated bytes", "total_blocks": "allocated blocks"}


def add(sums, key, n):
    if n:
        sums[key] = sums.get(key, 0) + n


class Page(HTMLParser):
    """The text of each script, and what would ask a network for something."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.asks, self.open, self.policy = [], [], False, ""
        self.tags = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.asks += [f"{tag} {name}" for name in attrs if name in ("src", "href", "srcset", "action")]
        if attrs.get("http-equiv") == "Content-Security-Policy":
            self.policy = attrs["content"]
        if tag == "script":
            self.open = True
            self.scripts.append((attrs, ""))

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = attrs, text + data


def figures_of_page(profile):
    """{figure: {(interpreter, frames): sum}} of a profile within a page's data."""
    strings, flat = profile["strings"], profile["frames"]
    frames = [(strings[flat[i]], strings[flat[i + 1]] or "?", flat[i + 2])
              for i in range(0, len(flat), 3)]
    out = {figure: {} for figure in made_up.FIGURES}
    for interp, _, *rest in profile["stacks"]:
        key = profile["interps"][interp], tuple(frames[i] for i in rest[4:])
        for figure, n in zip(made_up.FIGURES, rest):
            add(out[figure], key, n)
    return out


class Forms(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "out"
        self.maxDiff = 2000

    def tearDown(self):
        self.folder.cleanup()

    def save(self, form, profile, earlier=None, result=0, path=None):
        self.assertEqual(made_up.save(PROGRAM, form, path or self.path, profile, earlier), result)
        return self.path.read_bytes() if self.path.exists() else b""

    def each(self):
        for name, make in made_up.ALL.items():
            with self.subTest(name):
                yield make()

    def test_pprof(self):
        for profile in self.each():
            found = read_pprof.read(self.save("pprof", profile))
            self.assertEqual(found["sample_types"], [
                ("inuse_objects", "count"), ("inuse_space", "bytes"),
                ("alloc_objects", "count"), ("alloc_space", "bytes")])
            self.assertEqual(found["default"], "inuse_space")
            self.assertEqual(found["period"], (("space", "bytes"), profile.period or 1))
            self.assertEqual((found["time"], found["duration"]),
                             (profile.ended, profile.ended - profile.begun))
            self.assertEqual(found["mapping"], {
                "id": 1, "filename": made_up.readable(profile.program), "has_functions": 1,
                "has_filenames": 1, "has_line_numbers": 1})
            self.assertEqual(any("dropped" in c for c in found["comments"]), profile.dropped > 0)
            self.assertEqual(len(found["samples"]), len(profile.stacks))
            for stack, (frames, values, labels) in zip(profile.stacks, found["samples"]):
                self.assertEqual(list(frames), profile.shown(stack))
                self.assertEqual(values, (stack["live_blocks"], stack["live_bytes"],
                                          stack["total_blocks"], stack["total_bytes"]))
                wanted = {"domain": stack["domain"], "interp_name": profile.label(stack["interp"]),
                          "interp": profile.interps[stack["interp"]][0], "thread": stack["thread"]}
                if wanted["interp"] == made_up.PROCESS:
                    del wanted["interp"]
                if not wanted["thread"]:
                    del wanted["thread"]
                self.assertEqual(labels, wanted)

    def test_folded(self):
        def harmless(text):
            return re.sub(r"[\0-\x1f\x7f]", " ", text.replace(";", ","))

        def named(frame):
            file, function, line = frame
            return harmless(f"{function} ({file}:{line})" if file else function)

        for profile in self.each():
            wanted, found = {}, {}
            for (interp, frames), n in profile.sums("live_bytes").items():
                add(wanted, ";".join([harmless(interp), *map(named, reversed(frames))]), n)
            text = self.save("folded", profile).decode("utf-8")
            for line in text.split("\n")[:-1]:
                stack, n = re.fullmatch("(.*) ([0-9]+)", line).groups()
                add(found, stack, int(n))
            self.assertEqual(found, wanted)

    def test_speedscope(self):
        for profile in self.each():
            document = json.loads(self.save("speedscope", profile))
            self.assertEqual(document["$schema"], SPEEDSCOPE)
            self.assertEqual(set(document), {"$schema", "exporter", "name", "shared", "profiles"})
            self.assertEqual(document["name"], made_up.readable(profile.program))
            frames = []
            for frame in document["shared"]["frames"]:
                self.assertLessEqual({"name"}, set(frame))
                self.assertLessEqual(set(frame), {"name", "file", "line"})
                frames.append((frame.get("file", ""), frame["name"], frame.get("line", 0)))
            found = {figure: {} for figure in LABELS}
            for part in document["profiles"]:
                self.assertEqual(set(part), {"type", "name", "unit", "startValue", "endValue",
                                             "samples", "weights"})
                if part["name"] == "nothing":
                    self.assertEqual((profile.stacks, part["unit"], part["samples"]), ([], "bytes", []))
                    continue
                interp, label = part["name"].rsplit(": ", 1)
                figure = next(f for f in LABELS if LABELS[f] == label)
                self.assertEqual(part["type"], "sampled")
                self.assertEqual(part["unit"], "bytes" if "bytes" in label else "none")
                self.assertEqual((part["startValue"], part["endValue"]), (0, sum(part["weights"])))
                self.assertEqual(len(part["samples"]), len(part["weights"]))
                for sample, weight in zip(part["samples"], part["weights"]):
                    key = interp, tuple(frames[i] for i in reversed(sample))
                    add(found[figure], key, weight)
            names = [part["name"] for part in document["profiles"]]
            self.assertNotEqual(names, [], "speedscope refuses a file without a profile")
            self.assertEqual(len(set(names)), len(names))
            self.assertEqual(found, {figure: profile.sums(figure) for figure in LABELS})

    def check_page(self, text, profile, earlier):
        page = Page(text.decode("utf-8"))
        self.assertEqual(page.asks, [])
        self.assertLess({"default-src 'none'", "base-uri 'none'"}, set(page.policy.split("; ")))
        self.assertFalse(page.tags & {"img", "b", "link", "iframe", "object"}, page.tags)
        (_, program), (attrs, source) = page.scripts
        self.assertEqual(attrs, {"type": "application/json", "id": "data"})
        for bad in "<>&":
            self.assertNotIn(bad, source)
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "fetch("):
            self.assertNotIn(word, program)
        data = json.loads(source)
        self.assertEqual(set(data), {"domains", "now", "then"})
        self.assertEqual(data["domains"], list(made_up.DOMAINS))
        for found, wanted in ((data["now"], profile), (data["then"], earlier)):
            if wanted is None:
                self.assertIsNone(found)
                continue
            self.assertEqual(figures_of_page(found), {f: wanted.sums(f) for f in made_up.FIGURES})
            self.assertEqual([data["domains"][s[1]] for s in found["stacks"]],
                             [s["domain"] for s in wanted.stacks])
            self.assertEqual((found["program"], found["process"]),
                             (made_up.readable(wanted.program), wanted.process))
            self.assertEqual((found["begun_ns"], found["ended_ns"]), (wanted.begun, wanted.ended))
            self.assertEqual("dropped" in found["drops"], wanted.dropped > 0)
            self.assertEqual("samples" in found["period"], wanted.period > 0)

    def test_html(self):
        for profile in self.each():
            self.check_page(self.save("html", profile), profile, None)

    def test_html_compares(self):
        for now, then in ((made_up.small(), made_up.small_earlier()),
                          (made_up.hostile(), made_up.empty()), (made_up.empty(), made_up.deep())):
            self.check_page(self.save("html", now, then), now, then)

    def test_others_do_not_compare(self):
        for form in ("pprof", "folded", "speedscope"):
            self.assertEqual(self.save(form, made_up.small(), made_up.small(), -errno.EINVAL), b"")

    def test_a_format_that_there_is_not(self):
        for form in ("", "svg", "HTML"):
            self.assertEqual(self.save(form, made_up.small(), None, -errno.EINVAL), b"")

    def test_the_file_is_whole_or_as_it_was(self):
        """A full disk, a folder that is not there, and a file in the way."""
        self.path.write_text("before")
        for form in ("pprof", "folded", "speedscope", "html"):
            for path, result in (("/dev/full", errno.ENOSPC), (self.path.parent / "no" / "x", errno.ENOENT)):
                if path == "/dev/full" and not os.path.exists(path):
                    continue
                with self.subTest(form=form, path=path):
                    # The profile lies beside the output.
                    inputs = self.path.parent / "now.packed"
                    inputs.write_bytes(made_up.small().packed())
                    done = made_up.run(PROGRAM, form, path, [inputs])
                    self.assertEqual(done, -result)
            self.assertEqual(self.path.read_text(), "before")
        for form in ("pprof", "folded", "speedscope", "html"):
            self.save(form, made_up.small())
            self.assertNotEqual(self.path.read_bytes(), b"before")
        self.assertEqual({p.name for p in self.path.parent.iterdir()}, {"out", "now.packed"})

    def test_a_limit_of_bytes_leaves_the_file_as_it_was(self):
        """RLIMIT_FSIZE ends the write in the middle; a temporary file must not stay."""
        import resource
        import signal
        self.path.write_text("before")
        inputs = self.path.parent / "now.packed"
        inputs.write_bytes(made_up.many(400).packed())

        def few_bytes():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

        for form in ("pprof", "folded", "speedscope", "html"):
            self.assertEqual(made_up.run(PROGRAM, form, self.path, [inputs], few_bytes), -errno.EFBIG)
            self.assertEqual(self.path.read_text(), "before")
        self.assertEqual({p.name for p in self.path.parent.iterdir()}, {"out", "now.packed"})


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
