#!/usr/bin/env python3
"""A browser draws the page of a profile as the profile says.

    test_profile_page.py PROGRAM

PROGRAM is profiles.c.  Exits with 77 (skipped) where there is no chromium, which
CHROMIUM may name.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import made_up

PROGRAM = ""
CHROMIUM = next(filter(None, map(shutil.which, (
    os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "input", "br"}
NARROWEST, GAP = 1, 0.7


class Dom(HTMLParser):
    """Elements as (tag, attributes, text of their own), and by id."""

    def __init__(self, text):
        super().__init__()
        self.all, self.way, self.ids = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "kids": [], **dict(attrs)}
        if self.way:
            self.way[-1]["kids"].append(element)
        self.all.append(element)
        self.ids.setdefault(element.get("id"), element)
        if tag not in VOID:
            self.way.append(element)

    def handle_endtag(self, tag):
        while self.way and self.way.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        if self.way:
            self.way[-1]["text"] += data


def below(element, tag):
    for kid in element["kids"]:
        if kid["tag"] == tag:
            yield kid
        yield from below(kid, tag)


def boxes_of(dom):
    """(classes, width, name or "") of each box, as drawn."""
    out = []
    for group in below(dom.ids["flame"], "g"):
        (rect,), texts = below(group, "rect"), list(below(group, "text"))
        width = float(rect["width"])
        out.append((group["class"].split(), width + (GAP if width > 3 - GAP else 0),
                    texts[0]["text"] if texts else ""))
    return out


def tree_of(profiles, figure, by_line=False, interp=None):
    """{path of names: [now, then]} of what stacks have themselves, and of all above."""
    own, full = {}, {}
    for moment, profile in enumerate(profiles):
        for stack in profile.stacks:
            label = profile.label(stack["interp"])
            if interp not in (None, label, "together"):
                continue
            frames = [f if by_line else f[:2] for f in reversed(profile.shown(stack))]
            path = ("all", label, *frames) if interp != "together" else ("all", *frames)
            own.setdefault(path, [0, 0])[moment] += stack[figure]
            for n in range(1, len(path) + 1):
                full.setdefault(path[:n], [0, 0])[moment] += stack[figure]
    return own, full


def widths_of(own, measure, together=False):
    """{path: width}, without those of width 0."""
    out = {}
    for path, pair in own.items():
        for n in range(1, len(path) + 1):
            out[path[:n]] = out.get(path[:n], 0) + measure(*pair)
    if not together and len([path for path in out if len(path) == 2]) == 1:
        del out[("all",)]  # one interpreter is all
    return {path: width for path, width in out.items() if width}


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name) / "page.html"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def render(self, now, then=None, **chosen):
        """The page as a browser leaves it."""
        self.assertEqual(made_up.save(PROGRAM, "html", self.path, now, then), 0)
        done = subprocess.run(
            [CHROMIUM, "--headless", *["--no-sandbox"] * (os.geteuid() == 0), "--disable-gpu",
             f"--user-data-dir={self.folder.name}/browser", "--window-size=1300,900",
             "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom",
             f"{self.path.as_uri()}#{urlencode(chosen)}"],
            check=True, capture_output=True, timeout=240)
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
        self.assertEqual(said, [])
        return Dom(done.stdout.decode("utf-8"))

    def check_boxes(self, dom, widths):
        """As many boxes as are wide enough, of these widths."""
        found = sorted((width for _, width, _ in boxes_of(dom)), reverse=True)
        if not widths:
            self.assertEqual(found, [])
            return
        whole = max(widths.values())
        wanted = sorted((w * found[0] / whole for w in widths.values()), reverse=True)
        wanted = [w for w in wanted if w >= NARROWEST]
        self.assertEqual(len(found), len(wanted))
        for one, other in zip(found, wanted):
            self.assertAlmostEqual(one, other, delta=GAP + 0.1)

    def test_boxes(self):
        for name, make in made_up.ALL.items():
            with self.subTest(name):
                profile = make()
                own, _ = tree_of([profile], "live_bytes")
                self.check_boxes(self.render(profile), widths_of(own, lambda now, then: now))

    def test_choices(self):
        profile = made_up.small()
        for chosen, figure, by_line, interp in (
                ({"metric": "total"}, "total_bytes", False, None),
                ({"metric": "total", "unit": "blocks"}, "total_blocks", False, None),
                ({"unit": "blocks", "by": "lines"}, "live_blocks", True, None),
                ({"interp": "worker (interp 3)"}, "live_bytes", False, "worker (interp 3)"),
                ({"interp": "together"}, "live_bytes", False, "together")):
            with self.subTest(chosen):
                own, _ = tree_of([profile], figure, by_line, interp)
                self.check_boxes(self.render(profile, **chosen),
                                 widths_of(own, lambda now, then: now, interp == "together"))

    def test_a_domain(self):
        profile = made_up.small()
        dom = self.render(profile, domain="mem")
        self.assertEqual([name for _, _, name in boxes_of(dom)], ["main", "<module>", "load"])

    def test_zoom(self):
        """The widest kid of the widest interpreter takes all the width."""
        dom = self.render(made_up.small(), zoom="0.0")
        found = boxes_of(dom)
        self.assertEqual([name for _, _, name in found][:4], ["all", "main", "<module>", "load"])
        self.assertEqual([("above" in classes) for classes, _, _ in found][:4], [True, True, False, False])
        self.assertEqual(len({round(width) for _, width, _ in found[:4]}), 1)

    def test_search(self):
        dom = self.render(made_up.small(), search="DECODER.py")
        self.assertEqual({name for classes, _, name in boxes_of(dom) if "hit" in classes},
                         {"JSONDecoder.decode"})
        self.assertIn("53.7 KiB matched", "".join(s["text"] for s in below(dom.ids["under"], "span")))
        self.assertEqual(len(list(below(dom.ids["lines"], "tr"))), 1 + 1)

    def test_difference(self):
        now, then = made_up.small(), made_up.small_earlier()
        own, full = tree_of([now, then], "live_bytes")
        for width, measure in (("changes", lambda a, b: abs(a - b)), ("sizes", max)):
            with self.subTest(width):
                widths = widths_of(own, measure)
                dom = self.render(now, then, width=width)
                self.check_boxes(dom, widths)
                for kind, sense in (("grown", 1), ("shrunk", -1), ("none", 0)):
                    changes = [full[path][0] - full[path][1] for path in widths]
                    self.assertEqual(sum(kind in classes for classes, _, _ in boxes_of(dom)),
                                     sum((d > 0) - (d < 0) == sense for d in changes), kind)
        cells = [td["title"] for td in below(list(below(dom.ids["interps"], "tfoot"))[0], "td")]
        for i, figure in enumerate(made_up.FIGURES):
            a, b = (sum(s[figure] for s in p.stacks) for p in (now, then))
            self.assertEqual(cells[2 + 2 * i:4 + 2 * i], [f"{a:,}", f"{a - b:,}"])

    def test_figures(self):
        profile = made_up.small()
        dom = self.render(profile)
        cards = [card["title"] for card in dom.ids["headline"]["kids"]]
        self.assertEqual(cards, [f"{sum(s[figure] for s in profile.stacks):,} {figure.split('_')[1]}"
                                 for figure in made_up.FIGURES])
        self.assertNotIn("hidden", dom.ids["drops"])
        rows = [[td.get("title", "") for td in below(tr, "td")]
                for tr in below(list(below(dom.ids["lines"], "tbody"))[0], "tr")]
        self.assertEqual(rows[0][0], "/usr/lib/python3.13/json/decoder.py:353")
        self.assertEqual(rows[0][2:4], ["55,000", "430"])
        self.assertEqual(sum(int(row[2].replace(",", "")) for row in rows),
                         sum(s["live_bytes"] for s in profile.stacks))

    def test_hostile_names_stay_names(self):
        dom = self.render(made_up.hostile(), by="lines")
        self.assertEqual(dom.ids["title"]["text"], "Memory profile of </title><b>&\ufffd")
        self.assertFalse({"img", "b", "iframe"} & {e["tag"] for e in dom.ids["lines"]["kids"]})
        self.assertEqual([e for e in dom.all if e["tag"] == "img" or "onerror" in e], [])
        texts = {td["text"] for td in below(dom.ids["lines"], "td")}
        self.assertIn("<img src=x onerror=alert(1)>", texts)
        self.assertIn("<U+202E>right<U+2066>to<U+2069>left", texts)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    if CHROMIUM is None:
        print("no chromium here (Debian package chromium)", file=sys.stderr)
        sys.exit(77)
    unittest.main()
