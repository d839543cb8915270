"""What the tests of bench/run and bench/compare share.

A pretended build tree has hosts that are small scripts: they speak as the real
ones do, and their times are what `factors.json` beside them says, so that every
ratio is known in advance.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True

SECONDS = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang
VERSION = "3.14.99"  # no such Python, so none that is here is taken for it
MICRO_ROWS = ["pair/32", "pair/64", "growth/16777216",
              "parallel_pair/32/2/real_time"]
PROGRAMS = {"json": 8, "lists": 4}

SPEAK = """
import json, sys
from pathlib import Path
here = Path(__file__).resolve().parent
factors = json.loads((here / "factors.json").read_text())
said = {}
for word in sys.argv[1:]:
    name, _, value = word.partition("=")
    said[name] = value
allocator = said.get("--label") or said.get("--allocator")
allocator = factors.get("pretend", allocator)
factor = factors.get(allocator, 1.0)
with open(here / "calls.log", "a") as log:
    print(Path(sys.argv[0]).name, *sys.argv[1:], file=log)
if allocator == factors.get("broken"):
    sys.exit("host: something is broken")
"""

MICRO = SPEAK + """
import re
rows = json.loads((here / "rows.json").read_text())
if "--benchmark_list_tests" in said:
    print("\\n".join(rows))
    sys.exit()
wanted = re.compile(said["--benchmark_filter"])
chosen = [row for row in rows if wanted.search(row)]
print(json.dumps({"context": {"allocator": allocator}, "benchmarks": [
    {"name": row, "run_name": row, "run_type": "iteration", "repetitions": 1,
     "repetition_index": 0, "threads": 1, "iterations": 1000,
     "real_time": 20 * factor, "cpu_time": 10 * factor, "time_unit": "ns",
     "busy": factors.get("busy", 1.0)}
    for row in chosen]}))
"""

MACRO = SPEAK + """
count = int(said["--interpreters"])
answer = {"program": said["--program"], "interpreters": count,
          "allocator": allocator, "python": "VERSION"}
if said["--program"] == factors.get("skips"):
    answer["skipped"] = "no module"
else:
    seconds = 0.05 * factor * int(said["--loops"])
    answer.update(digest=factors.get("digests", {}).get(allocator, "7"),
                  loops=int(said["--loops"]), real_s=[seconds] * count,
                  cpu_s=[seconds] * count, wall_s=seconds,
                  peak_kb=int(20000 * factors.get("peaks", {})
                              .get(allocator, 1.0)), start_kb=10000,
                  after_kb=int(15000 * factors.get("peaks", {})
                               .get(allocator, 1.0)))
    if "--aged" in said:
        laps = [(1 + 0.01 * place) * 0.02 * factor
                for place in range(int(said["--loops"]))]
        answer["laps"] = {said["--program"]: laps,
                          said["--program"] + "_part": laps}
print(json.dumps(answer))
""".replace("VERSION", VERSION)


def script(path, text):
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)


def make_tree(folder, **factors):
    """A build tree below `folder`: times are multiplied by `factors`."""
    binaries = folder / "build" / "bin"
    binaries.mkdir(parents=True)
    script(binaries / f"bench_micro_py{VERSION}", MICRO)
    script(binaries / f"bench_macro_py{VERSION}", MACRO)
    (binaries / "factors.json").write_text(json.dumps(factors))
    (binaries / "rows.json").write_text(json.dumps(MICRO_ROWS))
    library = folder / "build" / "lib" / "libpimalloc-preload.so"
    library.parent.mkdir()
    library.write_text("")
    programs = folder / "programs"
    programs.mkdir()
    (programs / "__init__.py").write_text("")
    for name, loops in PROGRAMS.items():
        (programs / f"{name}.py").write_text(f"LOOPS = {loops}\n")
    return folder / "build"


def calls(build):
    """What the hosts were called with, in order: lists of words."""
    log = build / "bin" / "calls.log"
    return [line.split() for line in log.read_text().splitlines()]


def tool(name, *words, **variables):
    """bench/NAME, finished."""
    env = {name: value for name, value in os.environ.items()
           if name != "LD_PRELOAD"}
    return subprocess.run(
        [sys.executable, "-B", str(BENCH / name), *map(str, words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=SECONDS, env={**env, **variables})


def bench_run(folder, *words, groups="micro,embedded1,embedded2", **variables):
    """bench/run on a pretended tree, without a stock Python."""
    return tool("run", "--build", folder / "build", "--out", folder / "out",
                "--programs", folder / "programs", "--only", groups,
                "--allocators=mimalloc,glibc,floor", "--rest=0", *words,
                **variables)


def entry(name, round_number, milliseconds, peak_kb=None, **more):
    """A row of a result file."""
    row = {"name": name, "run_name": name, "run_type": "iteration",
           "repetition_index": round_number, "real_time": milliseconds,
           "cpu_time": milliseconds, "time_unit": "ms",
           "ratio_time": "cpu_time", **more}
    if peak_kb:
        row["peak_kb"] = peak_kb
    return row


class WithFolder(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
