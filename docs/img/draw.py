#!/usr/bin/env python3
"""Draw the pictures of docs/design.md.

    docs/img/draw.py            writes *.svg beside this file

Needs Python 3.9, nothing else.  Look at the result before you commit it:

    rsvg-convert -z 1.5 docs/img/page-life.svg >/tmp/page-life.png
"""
import sys
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/lint"))
from layers import LAYERS, TOP  # noqa: E402

INK, MUTED, LINE = "#1f2933", "#52606d", "#94a3b8"
# name: (fill, stroke)
BLUE = ("#dbeafe", "#2563eb")
GREEN = ("#dcfce7", "#15803d")
AMBER = ("#fef3c7", "#b45309")
RED = ("#fee2e2", "#b91c1c")
GREY = ("#f1f5f9", "#94a3b8")
WHITE = ("#ffffff", "#94a3b8")
SANS = "DejaVu Sans, Verdana, Arial, sans-serif"
MONO = "DejaVu Sans Mono, Menlo, Consolas, monospace"


class Picture:
    def __init__(self, width, height, title):
        self.width, self.height, self.title = width, height, title
        self.parts = []

    def add(self, text):
        self.parts.append(text)

    def box(self, x, y, w, h, colors=WHITE, radius=5, dash="", width=1.4):
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" '
                 f'fill="{colors[0]}" stroke="{colors[1]}" stroke-width="{width}"{dashed}/>')

    def text(self, x, y, words, size=13, anchor="middle", color=INK, bold=False,
             mono=False, italic=False):
        style = ' font-weight="bold"' if bold else ""
        style += ' font-style="italic"' if italic else ""
        font = MONO if mono else SANS
        for i, line in enumerate(words.split("\n")):
            self.add(f'<text x="{x}" y="{y + i * size * 1.3:.1f}" font-family="{font}" '
                     f'font-size="{size}" text-anchor="{anchor}" fill="{color}"{style}>'
                     f'{escape(line)}</text>')

    def label(self, x, y, w, h, words, colors=WHITE, size=13, **style):
        """A box with its text in the middle."""
        lines = words.count("\n") + 1
        self.box(x, y, w, h, colors)
        first = y + h / 2 - (lines - 1) * size * 0.65 + size * 0.36
        self.text(x + w / 2, first, words, size, **style)

    def line(self, points, color=MUTED, width=1.4, dash="", arrow=True, both=False):
        path = "M" + " L".join(f"{x} {y}" for x, y in points)
        self.path(path, color, width, dash, arrow, both)

    def path(self, path, color=MUTED, width=1.4, dash="", arrow=True, both=False):
        mark = f'arrow{color.lstrip("#")}'
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        extra += f' marker-end="url(#{mark})"' if arrow else ""
        extra += f' marker-start="url(#{mark})"' if both else ""
        self.add(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{width}"{extra}/>')

    def note(self, x, y, words, anchor="middle", size=11.5, color=MUTED, **style):
        self.text(x, y, words, size, anchor, color, **style)

    def save(self, name):
        body = "\n".join(self.parts)
        colors = sorted({part.split('url(#arrow')[1].split(')')[0]
                         for part in self.parts if "url(#arrow" in part})
        marks = "".join(
            f'<marker id="arrow{c}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
            f'markerHeight="8" orient="auto-start-reverse"><path d="M0 1 L10 5 L0 9 z" '
            f'fill="#{c}"/></marker>' for c in colors)
        hatch = ('<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
                 'patternTransform="rotate(45)"><rect width="7" height="7" fill="#f8fafc"/>'
                 '<line x1="0" y1="0" x2="0" y2="7" stroke="#cbd5e1" stroke-width="1.5"/></pattern>')
        (Path(__file__).parent / name).write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img">\n<title>{escape(self.title)}</title>\n'
            f'<defs>{marks}{hatch}</defs>\n'
            f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#ffffff"/>\n'
            f'{body}\n</svg>\n', encoding="utf-8")


HATCH = ("url(#hatch)", LINE)


WORDS = {
    "preload": "a python that nobody rebuilt",
    "module": "import pimalloc",
    "run": "pimalloc-run",
    "report": "figures as text, JSON and OpenMetrics",
    "api": "install  ·  figures  ·  limits  ·  leaks  ·  teardown  ·  trim  ·  PIMALLOC_ variables",
    "hooks": "the chain  ·  frames  ·  trace  ·  sample  ·  fault  ·  record",
    "cpython": "the three PyMemAllocatorEx tables, where requests arrive  ·  thread state  ·  objects",
    "interp": "interpreter → heap  ·  whose heap?  ·  births  ·  ends  ·  retirement  ·  walk",
    "abandoned": "what ended interpreters left: retained memory, poisoned pages and large blocks",
    "extent": "maps of large blocks  ·  cached extents  ·  blocks of mimalloc",
    "arena": "arenas  ·  spans of units  ·  address → descriptor  ·  where arenas are mapped",
    "account": "what a heap serves, exactly  ·  budgets  ·  the verdict of limits",
    "page": "page descriptor: carve, collect, abandon  ·  size classes",
    "mi": "the one door to libmimalloc, loaded with dlopen",
    "platform": "maps and clock as a table of functions  ·  gate  ·  locks  ·  files and messages",
    "base": "constants (config.h)  ·  atomics  ·  checks",
}


def layers():
    p = Picture(900, 754, "The layers of pimalloc and what lives in each")

    def name_of(x, y, h, name, rank):
        p.text(x + 12, y + h / 2 + 4.5, rank, 12, "start", MUTED)
        p.text(x + 34, y + h / 2 + 4.5, name + "/", 13.5, "start", INK, True, True)

    # On top of all, beside one another.
    for name, x, w in zip(TOP, (16, 356, 628), (332, 264, 256)):
        p.box(x, 16, w, 36, ("#fafbfc", "#e2e8f0"), 4)
        name_of(x, 16, 36, name, "")
        p.text(x + 112, 38.5, WORDS[name], 12, "start")
    # One row a layer, the highest first.
    rows = [(name, str(rank)) for rank, name in enumerate(LAYERS)]
    y, top = 58, {}
    for name, rank in reversed(rows):
        h = {"domain": 46, "heap": 82}.get(name, 36)
        top[name] = y
        p.box(16, y, 868, h, ("#fafbfc", "#e2e8f0"), 4)
        name_of(16, y, h, name, rank)
        if name in WORDS:
            p.label(166, y + 4, 708, h - 8, WORDS[name], WHITE, 12)
        y += h + 5
    # What a request passes.
    domain, heap = top["domain"], top["heap"]
    p.label(166, domain + 6, 196, 34, "mem, obj; raw from 3.14", BLUE, 13)
    p.label(398, domain + 6, 196, 34, "mem, obj; raw from 3.14", GREEN, 13)
    p.label(650, domain + 6, 224, 34, "raw without a thread state", AMBER, 13)
    p.label(166, heap + 12, 196, 58, "heap of interpreter 1\npages, spans, large blocks", BLUE, 12)
    p.label(398, heap + 12, 196, 58, "heap of interpreter 2\npages, spans, large blocks", GREEN, 12)
    p.label(616, heap + 12, 128, 58, "process heap\n(a lock, no GIL)", AMBER, 12)
    p.label(756, heap + 12, 118, 58, "raw heap from 3.14,\nelse libc's malloc", AMBER, 10.5)
    for x in (264, 496, 828):
        p.line([(x, domain - 9), (x, domain + 4)])
        p.line([(x, domain + 40), (x, top["interp"] + 2)])
        p.line([(x, top["interp"] + 32), (x, heap + 10)])
    p.line([(576, top["interp"] + 32), (576, heap + 4), (680, heap + 4), (680, heap + 10)], dash="5 3")
    p.line([(396, heap + 30), (364, heap + 30)], RED[1], 1.8)
    p.line([(364, heap + 52), (396, heap + 52)], RED[1], 1.8)
    p.text(24, y + 16, "A file uses its own layer and lower ones only (tests/lint/layers.py).   "
           "Red: remote frees.   Dashed line: no thread state.", 11.5, "start", MUTED)
    p.save("layers.svg")


def address_space():
    p = Picture(900, 628, "Region, arenas, units, pages and blocks, with their descriptors out of line")
    units = 28
    w = 860 / units
    page_x = 20 + 4 * w
    for points in ("212,86 304,86 880,166 20,166", f"{page_x:.0f},210 {page_x + 4 * w - 2:.0f},210 880,296 20,296"):
        p.add(f'<polygon points="{points}" fill="#eff6ff"/>')
    # Region.
    p.text(20, 30, "region", 14, "start", bold=True)
    p.text(80, 30, "the main stretch grows upward, one map for each arena; one subtraction and one "
           "compare tell whether a block is in it", 12, "start", MUTED)
    arenas = [(BLUE, "interp 1"), (GREEN, "interp 2"), (BLUE, "interp 1"), (AMBER, "process"),
              (GREY, "retained"), (WHITE, "cold")]
    for i, (colors, words) in enumerate(arenas):
        p.label(20 + i * 96, 44, 92, 40, words, colors, 12)
    p.box(20 + 6 * 96, 44, 284, 40, HATCH)
    p.text(738, 69, "nothing is mapped here yet", 12, color=MUTED)
    p.line([(596, 106), (596, 87)], LINE)
    p.note(603, 106, "base + size", "start", mono=True)
    p.note(20, 102, "base", "start", mono=True)
    # Arena.
    p.text(20, 142, "arena", 14, "start", bold=True)
    p.text(20, 159, "PIM_ARENA_SIZE, owned by one heap at a time; its units are sets of bits: "
           "free, dirty, aged, returned", 12, "start", MUTED)
    runs = [(1, BLUE), (1, BLUE), (1, WHITE), (1, BLUE), (4, BLUE), (1, BLUE), (1, BLUE), (2, WHITE),
            (4, BLUE), (12, BLUE)]
    at = 0
    for count, colors in runs:
        if colors is WHITE:
            for i in range(count):
                p.box(round(20 + (at + i) * w, 1), 168, round(w - 2, 1), 40, WHITE, 2, "3 3", 1)
        else:
            p.box(round(20 + at * w, 1), 168, round(count * w - 2, 1), 40, colors, 2)
            for i in range(1, count):
                p.path(f"M {20 + (at + i) * w:.1f} 170 v 36", "#93c5fd", 1, arrow=False)
        at += count
    p.note(20 + 2 * w, 225, "spans of one unit")
    p.note(20 + 11 * w, 225, "free units")
    p.note(20 + 14.6 * w, 225, "a span of four")
    p.note(20 + 22 * w, 225, "a span of sixteen, shortened here")
    # Page.
    p.text(20, 272, "page", 14, "start", bold=True)
    p.text(20, 289, "a span carved into equal blocks, from left to right, on demand", 12, "start", MUTED)
    names = {"L": ("live", BLUE), "F": ("free", WHITE), "R": ("remote", RED)}
    bw = 52
    for i, kind in enumerate("LFLLFLLLRLLL"):
        words, colors = names[kind]
        p.label(20 + i * bw, 298, bw - 3, 42, words, colors, 11)
    p.box(20 + 12 * bw, 298, 196, 42, HATCH, 3)
    p.text(20 + 12 * bw + 98, 324, "not carved yet", 12, color=MUTED)
    p.box(20 + 12 * bw + 198, 298, 38, 42, GREY, 3)
    p.note(20 + 12 * bw + 217, 323, "slack")
    p.line([(20 + 12 * bw - 1, 362), (20 + 12 * bw - 1, 343)], LINE)
    p.note(20 + 12 * bw + 6, 362, "carved", "start", mono=True)
    p.path("M 254 341 C 244 366 112 366 99 343", MUTED, 1.3)
    p.note(176, 376, "free list, last freed first")
    # Tables.
    p.line([(379, 341), (379, 424)], BLUE[1], 1.6)
    p.text(520, 392, "Out of line, in the order of the units", 13, "start", bold=True)
    p.note(520, 409, "three tables for all addresses; a part is mapped with\nthe first arena of the chunk that it describes", "start")
    for i in range(12):
        colors = BLUE if i == 8 else ("#eff6ff", "#93c5fd") if 8 < i else GREY
        p.box(20 + i * 40, 426, 38, 40, colors, 2)
        p.text(39 + i * 40, 450, {8: "page", 9: "1 back", 10: "2 back", 11: "3 back"}.get(i, ""), 9.5)
    p.note(520, 447, "pim_page: a cache line for each unit; the first unit's\n"
           "rules the page, the others say how far back it is", "start")
    p.box(20, 480, 478, 26, GREY, 2)
    p.text(259, 497, "1011 0000 0100 0010 ...", 11, mono=True, color=MUTED)
    p.note(520, 490, "pim_block_set: a bit for each block; only for pages that\nhold live blocks of an ended interpreter", "start")
    p.box(20, 520, 478, 26, GREY, 2)
    p.text(259, 537, "owner · free · dirty · aged · returned", 11, color=MUTED)
    p.note(520, 537, "pim_arena: one for each arena", "start")
    p.label(20, 562, 860, 50,
            "descriptor = pages + (address >> PIM_UNIT_SHIFT), then `offset_units` units back\n"
            "owner = descriptor->owner, a heap's address and three bits", ("#f8fafc", "#cbd5e1"), 12.5, mono=True)
    p.save("address-space.svg")


def page_life():
    p = Picture(900, 480, "The life of a page")

    def state(x, y, w, h, name, words, colors):
        p.box(x, y, w, h, colors)
        p.text(x + w / 2, y + 26, name, 15, bold=True)
        p.text(x + w / 2, y + 45, words, 11.5, color=MUTED)

    p.box(20, 20, 532, 350, ("#f8fbff", "#bfdbfe"), 10)
    p.text(36, 42, "owned by the heap of a living interpreter", 12.5, "start", BLUE[1], True)
    p.box(648, 20, 236, 350, ("#fffdf5", "#fcd34d"), 10)
    p.text(664, 42, "owned by no heap", 12.5, "start", AMBER[1], True)
    state(64, 70, 170, 76, "CURRENT", "one for each domain\nand size class", BLUE)
    state(390, 70, 150, 76, "FULL", "in no list", BLUE)
    state(220, 250, 180, 76, "PARTIAL", "has free blocks;\nin the list of its class", BLUE)
    state(662, 70, 208, 92, "ABANDONED", "no free list: a set says what\nlives; system pages without\na live block are given back", AMBER)
    p.label(220, 416, 440, 44, "units of an arena (UNUSED)", GREY, 14)

    p.line([(234, 108), (388, 108)])
    p.note(311, 86, "no block free or uncarved,")
    p.note(311, 101, "none freed by others")
    p.line([(465, 146), (465, 278), (402, 278)])
    p.note(458, 212, "a few blocks", "end")
    p.note(458, 227, "freed", "end")
    p.line([(220, 288), (150, 288), (150, 148)])
    p.note(158, 220, "refill", "start")
    p.line([(220, 438), (42, 438), (42, 108), (62, 108)])
    p.note(50, 430, "refill: a span is opened", "start")
    p.line([(310, 326), (310, 414)])
    p.note(317, 367, "empty (one unit: IDLE, for", "start")
    p.note(317, 382, "any class), and too many", "start")
    p.note(317, 397, "are, or at a purge", "start")
    p.line([(520, 370), (520, 414)], RED[1], 1.7)
    p.note(527, 390, "interpreter ends, page empty", "start", color=RED[1])
    p.line([(552, 108), (660, 108)], RED[1], 1.7)
    p.text(600, 66, "interpreter\nends, a block\nstill lives", 11, color=RED[1])
    p.line([(690, 162), (690, 308), (402, 308)], GREEN[1], 1.7)
    p.text(698, 232, "a heap reclaims the\narena: tagged, its\norphans in the set", 11.5, "start", GREEN[1])
    p.line([(838, 162), (838, 438), (662, 438)])
    p.note(830, 346, "last orphan freed", "end")
    p.save("page-life.svg")


def retirement():
    p = Picture(900, 478, "Retirement in three steps")
    p.box(190, 20, 226, 376, ("#fffbeb", "#fde68a"), 6, width=1)
    p.box(424, 20, 204, 376, ("#f8fafc", "#e2e8f0"), 6, width=1)
    p.box(636, 20, 244, 376, ("#fffbeb", "#fde68a"), 6, width=1)
    for words, y in (("ending thread", 121), ("free begun early", 251), ("free begun late", 346)):
        p.text(20, y + 5, words, 12.5, "start", bold=True)
        p.path(f"M 150 {y} L 880 {y}", "#cbd5e1", 1.2, arrow=False)
    for x, name, words in ((303, "1  hand over", "process heap's lock held"), (526, "2  wait", "no lock held"),
                           (758, "3  settle", "process heap's lock held")):
        p.text(x, 44, name, 13, bold=True)
        p.note(x, 62, words)
    p.label(198, 76, 210, 90, "serial = 0, drain\nempty pages → units\nothers abandoned: no heap's\naccounts → process", AMBER, 11.5)
    p.label(434, 76, 184, 90, "pim_gate_synchronize():\nevery thread that was inside\nhas been outside once", GREY, 11.5)
    p.label(646, 76, 224, 90, "drain what was pushed meanwhile\n(a reclaimed page: announced)", AMBER, 11.5)
    p.label(232, 231, 312, 40, "inside the gate: read old owner, push, announce", BLUE, 11.5)
    p.line([(544, 251), (590, 251), (590, 168)], BLUE[1], 1.6)
    p.note(583, 200, "outside: the", "end", color=BLUE[1])
    p.note(583, 215, "wait may end", "end", color=BLUE[1])
    p.line([(470, 271), (470, 296), (758, 296), (758, 168)], RED[1], 1.6, "5 3")
    p.note(766, 232, "its block is\nfound here", "start", color=RED[1])
    p.label(440, 326, 260, 40, "finds the defunct heap, takes the lock", GREEN, 11.5)
    p.line([(700, 346), (868, 346)], GREEN[1], 1.6)
    p.note(786, 338, "block freed", color=GREEN[1])
    p.line([(190, 414), (880, 414)], LINE)
    p.note(880, 430, "time", "end")
    p.text(190, 446, "Before step 1 the binding is gone and the epoch has ended: no cache leads to the heap (REGISTRY-2).",
           12, "start", MUTED)
    p.text(190, 464, "After step 3 nothing refers to the heap's record: the registry may recycle it (HEAP-3).",
           12, "start", MUTED)
    p.save("retirement.svg")


def hooks():
    p = Picture(900, 486, "How a request passes hooks, and how samples are taken")
    p.text(20, 30, "a request", 14, "start", bold=True)
    p.label(20, 48, 150, 44, "CPython's table:\npim_obj_malloc()", WHITE, 12)
    p.label(250, 48, 170, 44, "fast path", GREEN, 13)
    p.label(700, 48, 170, 44, "heap: the block", GREEN, 13)
    p.line([(170, 70), (248, 70)])
    p.line([(420, 70), (698, 70)])
    p.note(559, 62, "no hook sees it, and a block is at hand")
    p.label(250, 138, 170, 44, "slow path", BLUE, 13)
    p.line([(335, 92), (335, 136)])
    p.note(345, 119, "else: of a hooked heap no thread remembers the pair", "start")
    p.label(250, 228, 170, 44, "pim_hooked", AMBER, 13)
    p.line([(335, 182), (335, 226)])
    p.note(345, 209, "somebody hooks", "start")
    p.line([(420, 160), (785, 160), (785, 94)])
    p.note(600, 152, "nobody hooks")
    for x, name in ((462, "newest hook"), (604, "older hook"), (746, "oldest hook")):
        p.label(x, 228, 122, 44, name, AMBER, 12.5)
    p.line([(420, 250), (460, 250)])
    p.line([(584, 250), (602, 250)])
    p.line([(726, 250), (744, 250)])
    p.line([(868, 250), (886, 250), (886, 70), (872, 70)], AMBER[1])
    p.note(462, 292, "the chain: an immutable array; who is in it says so in a record", "start")
    p.add(f'<line x1="20" y1="318" x2="880" y2="318" stroke="{LINE}" stroke-width="1"/>')
    p.text(20, 346, "a sample", 14, "start", bold=True)
    p.label(20, 364, 200, 50, "account: credit ends where\nthe next sample falls", BLUE, 12)
    p.label(290, 364, 190, 50, "the block is exchanged for\none with a header: a mark", AMBER, 12)
    p.label(550, 364, 150, 50, "stack, domain, thread:\na sum of samples", AMBER, 12)
    p.label(752, 364, 128, 50, "pprof, page, ...", WHITE, 12)
    p.line([(220, 389), (288, 389)])
    p.line([(480, 389), (548, 389)])
    p.line([(700, 389), (750, 389)])
    p.note(20, 448, "malloc tests the credit anyway, so a profile costs the fast paths nothing.  A free of a "
           "marked block leaves", "start")
    p.note(20, 466, "the fast path at \"is it in the region?\", and subtracts from the sum what the sample "
           "stood for.", "start")
    p.save("hooks.svg")


for draw in (layers, address_space, page_life, retirement, hooks):
    draw()
