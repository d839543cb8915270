"""Made-up profiles: for the program that writes them (profiles.c), and what all
forms must say of them.

A stack is a dict with interp (number), domain, thread, the four figures, missing
(older frames not taken) and frames: (file, function, line), newest first.  Texts are
bytes, which need not be UTF-8.
"""

import random
import re
import struct
import subprocess

DOMAINS = ("raw", "mem", "obj")
FIGURES = ("live_bytes", "live_blocks", "total_bytes", "total_blocks")
PROCESS = -1
NO_FRAME, OLDER = ("", "[no Python frame]", 0), ("", "[older frames]", 0)


def readable(data):
    """Bytes as text: each byte that belongs to no character is replaced."""
    text = data.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


class Profile:
    def __init__(self, stacks, interps=((0, 1, b""),), program=b"app.py", period=0, dropped=0,
                 begun=1_700_000_000_000_000_000, ended=1_700_000_062_500_000_000, process=4711):
        self.stacks, self.interps, self.program = stacks, interps, program
        self.period, self.dropped, self.process = period, dropped, process
        self.begun, self.ended = begun, ended

    def label(self, number):
        """What an interpreter is called."""
        ident, generation, name = self.interps[number]
        out = "process" if ident == PROCESS else "main" if ident == 0 else f"interp {ident}"
        if generation > 1:
            out += f", runtime {generation}"
        return f"{readable(name)} ({out})" if name else out

    def shown(self, stack):
        """The frames that a form shows, newest first, as (file, function, line)."""
        frames = [(readable(file), readable(function) or "?", line)
                  for file, function, line in stack["frames"]]
        return frames + [OLDER] * bool(frames and stack["missing"]) or [NO_FRAME]

    def sums(self, figure):
        """{(interpreter, frames): sum} of what is not 0."""
        out = {}
        for stack in self.stacks:
            if stack[figure]:
                key = (self.label(stack["interp"]), tuple(self.shown(stack)))
                out[key] = out.get(key, 0) + stack[figure]
        return out

    def packed(self):
        strings, frames = {}, {}

        def number(table, key):
            return table.setdefault(key, len(table))

        def text(data):
            return struct.pack("=Q", len(data)) + data

        def numbers(*values):
            return b"".join(struct.pack("=Q", v & (1 << 64) - 1) for v in values)

        stacks = [numbers(s["interp"], DOMAINS.index(s["domain"]), s["thread"],
                          *(s[f] for f in FIGURES), len(s["frames"]) + s["missing"],
                          len(s["frames"]), *(number(frames, f) for f in s["frames"]))
                  for s in self.stacks]
        packed = [numbers(number(strings, file), number(strings, function), line)
                  for file, function, line in frames]
        return b"".join([
            numbers(self.period, self.dropped, self.begun, self.ended, self.process),
            text(self.program), numbers(len(strings)), *map(text, strings),
            numbers(len(packed)), *packed, numbers(len(self.interps)),
            *(numbers(i, g) + text(name) for i, g, name in self.interps),
            numbers(len(stacks)), *stacks])


def save(program, form, output, profile, earlier=None):
    """What pim_profile_save() returned."""
    inputs = []
    for name, made in (("now", profile), ("then", earlier)):
        if made is not None:
            path = output.parent / f"{name}.packed"
            path.write_bytes(made.packed())
            inputs.append(path)
    return run(program, form, output, inputs)


def run(program, form, output, inputs, before=None):
    done = subprocess.run([program, form, output, *inputs], check=True, stdout=subprocess.PIPE,
                          preexec_fn=before)
    return int(done.stdout)


# --- the profiles ----------------------------------------------------------------

def stack(frames, live=(0, 0), total=None, interp=0, domain="obj", thread=0, missing=0):
    figures = zip(FIGURES, (*live, *(total or live)))
    return {"frames": frames, "interp": interp, "domain": domain, "thread": thread,
            "missing": missing, **dict(figures)}


def empty():
    return Profile([], interps=())


def small():
    """Few boxes, all wide."""
    module, load, parse = (b"/srv/app.py", b"<module>", 9), (b"/srv/app.py", b"load", 4), \
        (b"/usr/lib/python3.13/json/decoder.py", b"JSONDecoder.decode", 353)
    return Profile([
        stack([parse, load, module], (40_000, 400), (90_000, 900)),
        stack([load, module], (20_000, 10), (20_000, 10), domain="mem", thread=4712),
        stack([(b"/srv/app.py", b"load", 5), module], (10_000, 7), (10_000, 7)),
        stack([], (15_000, 3), (30_000, 4), domain="raw"),
        stack([parse], (15_000, 30), (15_000, 30), interp=1, missing=12),
        stack([load], (0, 0), (100_000, 1000), interp=1),
        stack([module], (12_000, 1), (12_000, 1), interp=2, domain="raw"),
    ], interps=[(0, 1, b""), (3, 1, b"worker"), (PROCESS, 1, b"")], period=524_288, dropped=2)


def small_earlier():
    """Of the same program: some less, some more, some gone."""
    out = small()
    for s, bytes_, blocks in zip(out.stacks, (25_000, 26_000, 10_000, 15_000), (250, 12, 7, 3)):
        s["live_bytes"], s["live_blocks"] = bytes_, blocks
        s["total_bytes"], s["total_blocks"] = bytes_, blocks
    del out.stacks[4:]
    out.stacks.append(stack([(b"/srv/cache.py", b"Cache.fill", 88), (b"/srv/app.py", b"<module>", 7)],
                            (18_000, 18)))
    out.ended -= 30_000_000_000
    out.dropped = 0
    return out


def deep():
    frames = [(b"/srv/deep.py", b"f%d" % (i % 150), i) for i in range(200)]
    return Profile([stack(frames[i:], (1000 + i, 1)) for i in range(0, 200, 20)])


def many(count=3000, seed=7):
    """Random stacks over a few thousand frames, of ten interpreters."""
    rng = random.Random(seed)
    files = [b"/srv/app/part%d/module%d.py" % (i % 9, i) for i in range(60)] + \
        [b"/usr/lib/python3.13/lib%d.py" % i for i in range(20)] + \
        [b"/opt/venv/lib/python3.13/site-packages/pack%d/core.py" % i for i in range(20)]
    stacks = []
    for _ in range(count):
        frames = [(rng.choice(files), b"Thing%d.work%d" % (rng.randrange(20), rng.randrange(30)),
                   rng.randrange(1, 400)) for _ in range(rng.randrange(26))]
        live = (rng.choice((0, rng.randrange(16, 1 << 20))), rng.randrange(1, 900))
        stacks.append(stack(frames, live, (live[0] + rng.randrange(1 << 22), live[1] + 5),
                            interp=rng.randrange(10), domain=rng.choice(DOMAINS),
                            thread=rng.randrange(3) * 1001, missing=rng.choice((0, 0, 3))))
    return Profile(stacks, interps=[(i, 1 + i % 2, b"w%d" % i if i > 4 else b"") for i in range(10)],
                   period=0)


HOSTILE = [b"</script><script>document.title='taken'</script>", b"<!--<script>", b"a;b c",
           b"line\nbreak\r\ttab", b"\x01\x1f\x7fcontrol", b"\"'\\`${1}", b"&lt;&amp;",
           b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", "Grüße_名前_🐍".encode(),
           "\u202eright\u2066to\u2069left".encode(), b"<img src=x onerror=alert(1)>", b"]]>",
           b"", b"x" * 5000, b"__proto__", b"constructor", b"100 200 300"]


def hostile():
    """Names that would be markup, separators or no text at all."""
    stacks = []
    for i, function in enumerate(HOSTILE):
        file = HOSTILE[(i + 3) % len(HOSTILE)]
        stacks.append(stack([(file, function, i), (b"/srv/app.py", b"<module>", i)],
                            (5000 + i, i + 1), interp=i % 2))
    return Profile(stacks, interps=[(0, 1, b"</script>;\n\xff"), (7, 2, "Mieter;ü".encode())],
                   program=b"</title><b>&\xff", dropped=1)


V, S, A, F = (b"/opt/venv/lib/python3.13/site-packages/", b"/usr/lib/python3.13/", b"/srv/shop/",
              b"<frozen importlib._bootstrap>")
SERVE = [(A + b"serve.py", b"<module>", 61), (A + b"serve.py", b"main", 48)]
HANDLE = [*SERVE, (V + b"webframe/server.py", b"Server.run", 212),
          (V + b"webframe/worker.py", b"Worker.handle", 97), (V + b"webframe/app.py", b"App.__call__", 341)]
LIST, SEARCH = ([*HANDLE, (A + b"shop/views.py", name, line)] for name, line in
                ((b"product_list", 33), (b"search", 72)))
SESSION = [*HANDLE, (A + b"shop/sessions.py", b"Session.load", 44), (S + b"json/__init__.py", b"loads", 346),
           (S + b"json/decoder.py", b"JSONDecoder.decode", 345)]
IMPORT = [*SERVE, (F, b"_find_and_load", 1360), (F, b"_load_unlocked", 935)]
# The way from the oldest frame on, KiB, blocks, and how often that was allocated.
SHOP = [
    ([*LIST, (A + b"shop/models.py", b"Product.load_all", 118), (V + b"dbkit/cursor.py", b"Cursor.fetchall", 402),
      (V + b"dbkit/rows.py", b"Row.__init__", 57)], 3800, 21000, 9),
    ([*LIST, (A + b"shop/models.py", b"Product.load_all", 121)], 900, 6000, 9),
    ([*LIST, (V + b"templates/engine.py", b"Template.render", 266), (V + b"templates/nodes.py", b"ForNode.render", 88),
      (V + b"templates/nodes.py", b"TextNode.render", 31)], 1500, 9000, 60),
    ([*LIST, (V + b"templates/engine.py", b"Template.render", 266), (V + b"templates/escape.py", b"escape", 19)],
     400, 5000, 80),
    ([*SEARCH, (A + b"shop/search.py", b"Index.query", 140), (S + b"heapq.py", b"nlargest", 563)], 700, 4400, 30),
    ([*SEARCH, (A + b"shop/search.py", b"Index.query", 147), (A + b"shop/search.py", b"tokens", 22)], 350, 7000, 50),
    ([*HANDLE, (A + b"shop/api.py", b"export", 15), (S + b"json/__init__.py", b"dumps", 231),
      (S + b"json/encoder.py", b"JSONEncoder.encode", 200)], 1100, 900, 40),
    (SESSION, 2100, 16000, 3),
    ([*SERVE, (A + b"shop/cache.py", b"Cache.fill", 88), (S + b"pickle.py", b"loads", 1600)], 1700, 800, 2),
    ([*SERVE, (A + b"shop/cache.py", b"Cache.fill", 91)], 1200, 3, 2),
    ([*IMPORT, (V + b"webframe/__init__.py", b"<module>", 8)], 1900, 15000, 1),
    ([*IMPORT, (V + b"dbkit/__init__.py", b"<module>", 3), (S + b"decimal.py", b"<module>", 101)], 600, 5000, 1),
]


def shop(sessions=1):
    """As a program would look: docs/img/profile.png is a picture of its page."""
    stacks = []
    for interp, part in enumerate((1, .55, .3)):
        for way, size, blocks, times in SHOP:
            times_now = sessions if way is SESSION else 1
            for domain, share in (("obj", .6), ("mem", .3), ("raw", .1)):
                live = (int(size * 1024 * part * share * times_now), int(blocks * part * share * times_now) + 1)
                stacks.append(stack(way[::-1], live, (live[0] * times, live[1] * times), interp, domain))
    stacks.append(stack([], (420_000, 1200), (900_000, 2900), 3, "raw"))
    return Profile(stacks, interps=[(0, 1, b""), (1, 1, b"tenant-a"), (2, 1, b"tenant-b"), (PROCESS, 1, b"")],
                   program=b"serve.py", period=524_288)


def noise(seed=3):
    """Names of random bytes, most of which are no text."""
    rng = random.Random(seed)
    names = [bytes(rng.choice((rng.randrange(1, 256), 0xe2, 0xf0, 0x90, 0x80, 0xed, 0x9f, 0xc3))
                   for _ in range(rng.randrange(12))) for _ in range(600)]
    return Profile([stack([(rng.choice(names), name, 1)], (i + 1, 1)) for i, name in enumerate(names)])


ALL = {"noise": noise, "empty": empty, "small": small, "deep": deep, "many": many, "hostile": hostile, "shop": shop}
