"""Address space is a resource: programs that limit it, or are limited, are no worse off."""

import json
import re
import sys
import unittest

import support
from support import python

MIB = 1 << 20

# What every program here begins with.
STATUS = """
import json, resource, sys, time
def status(key):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key + ":")) << 10
"""

# A program limits itself once it runs, and goes on as programs do.
STEPS = STATUS + """
import os, subprocess, threading
kind, limit = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(kind, (limit, limit))

def imports():
    import sqlite3, decimal, ssl
def threads():
    ts = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(4)]
    for t in ts: t.start()
    for t in ts: t.join()
def small():
    small.kept = [str(i) for i in range(300_000)]
def large():
    large.kept = bytearray(64 << 20)
def growing():
    kept = []
    for i in range(2_000_000):
        kept.append(None)
def child():
    out = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True).stdout
    assert out == b"42\\n", out
def fork():
    pid = os.fork()
    if pid == 0:
        kept = bytearray(20 << 20)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
def over():
    try:
        kept = bytearray(2 * limit)
    except MemoryError:
        return
    raise AssertionError("not limited")
def blow_up():
    kept = []
    try:
        while True:
            kept.append([len(kept)])
    except MemoryError:
        del kept
def again():
    kept = [str(i) for i in range(100_000)]

for step in (imports, threads, small, large, growing, child, fork, over, blow_up, again, threads,
             child, fork):
    try:
        step()
        print(step.__name__, "ok")
    except BaseException as e:
        print(step.__name__, type(e).__name__)
"""

# How much fits, and what stays afterwards.
FILL = STATUS + """
kind = sys.argv[1]
make = {"dicts": lambda i: {"id": i, "name": str(i)}, "strings": lambda i: "item %d" % i}[kind]
spare = bytearray(8 << 20)
chunks = []
try:
    while len(chunks) < 4000:
        chunks.append([make(i) for i in range(1000)])
except MemoryError:
    pass
spare = None
made, peak = len(chunks), status("VmHWM")
del chunks
time.sleep(1.1)
work = [[i] for i in range(20_000)]
del work
print(json.dumps({"made": made, "peak": peak, "kept": status("VmRSS")}))
"""

# At the limit: what Python frees, the loader and threads can have.
FREED = STATUS + """
import _thread
def fill(make):
    kept = []
    try:
        while True:
            kept.append(make())
    except MemoryError:
        pass
for make in (lambda: bytearray(8 << 20), lambda: [bytes(30_000) for _ in range(100)],
             lambda: [[i] for i in range(10_000)]):
    fill(make)
    import sqlite3, decimal, ssl
    ran = _thread.allocate_lock()
    ran.acquire()
    _thread.start_new_thread(ran.release, ())
    assert ran.acquire(timeout=60), "there was no memory for a thread"
    for name in ("sqlite3", "_sqlite3", "decimal", "_decimal"):
        sys.modules.pop(name, None)
print("well")
"""

# Interpreters with their own GIL, at rest.
INTERPRETERS = STATUS + """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "exec", None) or interpreters.run_string
ids = [interpreters.create() for _ in range(int(sys.argv[1]))]
for i in ids:
    run(i, "import json, collections, random")
print(status("VmSize"))
"""

# Uses up the maps that the system lets a process have; every second one has another access.
MAPS = STATUS + """
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
kept = [bytes(100) for _ in range(10_000)]
addresses = (ctypes.c_size_t * 200_000)()
n = 0
while True:
    p = libc.mmap(None, 4096, 1 + n % 2 * 2, 0x22, -1, 0)
    if p in (None, 2 ** 64 - 1):
        break
    addresses[n] = p
    n += 1
outcomes = []
for make in (lambda: [str(i) for i in range(200_000)], lambda: bytearray(8 << 20),
             lambda: [bytes(50_000) for _ in range(200)], lambda: [bytes(3 << 20) for _ in range(20)]):
    try:
        made = make()
        outcomes.append("ok")
        del made
    except MemoryError:
        outcomes.append("MemoryError")
for i in range(0, n, 2):
    libc.munmap(addresses[i], 4096)
assert len(kept) == 10_000 and all(len(b) == 100 for b in kept)
more = [[str(i)] for i in range(300_000)]
t = threading.Thread(target=lambda: more.append(bytearray(4 << 20)))
t.start()
t.join()
del more, kept
print(n > 1000, "then all is well")
"""


# Debug builds of CPython assert where memory runs out, with and without us.
survives = unittest.skipIf(hasattr(sys, "gettotalrefcount"), "a debug build")


class Limits(support.TestCase):
    def outcome(self, code, *arguments, served=True, **options):
        done = python("-c", code, *arguments, **options)
        self.assertEqual(done.status, 0, str(done))
        if served and options.get("libraries") is None:
            self.assertIn(done.pid, done.figures, str(done))
        return done.stdout

    def test_programs_that_limit_themselves(self):
        for kind in ("RLIMIT_AS", "RLIMIT_DATA"):
            with self.subTest(kind=kind):
                plain = self.outcome(STEPS, kind, str(512 * MIB), libraries=())
                ours = self.outcome(STEPS, kind, str(512 * MIB))
                self.assertEqual(ours, plain)
                self.assertEqual(set(re.findall(r" (.*)", ours)), {"ok"}, ours)

    def fill(self, kind, limit, **options):
        return json.loads(self.outcome(FILL, kind, shell_limits=f"ulimit -v {limit >> 10}",
                                       **options))

    def assert_no_worse(self, ours, plain):
        self.assertGreaterEqual(ours["made"], 0.95 * plain["made"], f"{ours} {plain}")
        self.assertLessEqual(ours["peak"] / ours["made"], 1.05 * plain["peak"] / plain["made"],
                             f"{ours} {plain}")
        self.assertLessEqual(ours["kept"], plain["kept"] + 40 * MIB, f"{ours} {plain}")

    @survives
    def test_as_much_fits_into_a_limit_as_without(self):
        for kind in ("dicts", "strings"):
            with self.subTest(kind):
                plain = self.fill(kind, 512 * MIB, libraries=())
                self.assert_no_worse(self.fill(kind, 512 * MIB), plain)

    @survives
    def test_a_small_main_stretch_costs_nothing(self):
        large = self.fill("dicts", 256 * MIB)
        for region in ("2M", "64M"):
            with self.subTest(region):
                self.assert_no_worse(self.fill("dicts", 256 * MIB, PIMALLOC_REGION=region), large)

    @survives
    def test_what_was_freed_is_there_for_others(self):
        for limit in (96 * MIB, 160 * MIB):
            with self.subTest(limit):
                limits = f"ulimit -v {limit >> 10}"
                plain = python("-c", FREED, shell_limits=limits, libraries=())
                if plain.status != 0:
                    self.skipTest(f"this Python does not survive it without us: {plain}")
                self.assertEqual(self.outcome(FREED, shell_limits=limits), plain.stdout)

    def test_little_is_taken_ahead(self):
        size = STATUS + "print(status('VmSize'))"
        plain = int(self.outcome(size, libraries=()))
        self.assertLess(int(self.outcome(size)), plain + 64 * MIB)

    def test_interpreters_take_what_they_need(self):
        count = 12
        try:
            plain = int(self.outcome(INTERPRETERS, str(count), libraries=()))
        except AssertionError:
            self.skipTest("this Python cannot run them without us")
        ours = int(self.outcome(INTERPRETERS, str(count)))
        self.assertLess(ours, plain + 64 * MIB + count * 20 * MIB)

    @survives
    def test_without_maps_to_spare(self):
        plain = python("-c", MAPS, libraries=())
        if plain.status != 0:
            self.skipTest(f"this Python does not survive it without us: {plain}")
        self.assertEqual(self.outcome(MAPS), plain.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
