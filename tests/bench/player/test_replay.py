"""bench/replay plays recordings, whole ones and others, and says what it sees.

  PIM_TEST_PRELOAD  libpimalloc-preload.so
  PIM_TEST_BUILD    the build tree with bench_player_<id>
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SECONDS = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang
PRELOAD = os.environ["PIM_TEST_PRELOAD"]
BUILD = Path(os.environ["PIM_TEST_BUILD"])
TRACES = sorted((ROOT / "bench/traces").glob("*.record.xz"))
WORK = "kept = [[i, str(i)] for i in range(30000)]; del kept[::2]; kept += range(99999)"


class Replay(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def record(self, name="a.record"):
        path = self.folder / name
        subprocess.run([sys.executable, "-S", "-s", "-c", WORK], check=True, timeout=SECONDS,
                       env={"LD_PRELOAD": PRELOAD, "PIMALLOC_RECORD": str(path)})
        return path

    def replay(self, *words, status=0, allocators="pymalloc"):
        done = subprocess.run(
            [sys.executable, "-B", ROOT / "bench/replay", *words, "--rounds=1",
             f"--build={BUILD}", f"--out={self.folder / 'out'}",
             f"--embedded={platform.python_version()}", f"--allocators={allocators}"],
            capture_output=True, text=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def results(self):
        return json.loads((self.folder / "out/results.json").read_text(encoding="utf-8"))

    def test_a_program_on_each_allocator_of_python(self):
        path = self.record()
        names = ["pimalloc", "pymalloc", "glibc"]
        names += ["mimalloc"] if sys.version_info >= (3, 13) else []
        said = self.replay(path, allocators=",".join(names))
        for name in names:
            self.assertRegex(said, rf"(?m)^{name} +[\d.]+ (ms|s|us) ")
        answers = [of_one[0] for of_one in self.results()["a.record"].values()]
        self.assertEqual({one["allocator"] for one in answers}, set(names))
        for field in ("steps", "allocs", "peak_live_bytes"):
            self.assertEqual(len({one[field] for one in answers}), 1, field)
        for one in answers:
            self.assertEqual(one["notes"], [])
            self.assertGreater(one["allocs"], 60000)
            self.assertGreater(one["peak_kb"] * 1024, one["peak_live_bytes"] / 2)
            self.assertEqual(one["samples"][-1][0], one["steps"])
            self.assertEqual([live for _, live, _ in one["samples"]],
                             [live for _, live, _ in answers[0]["samples"]])
        chart = (self.folder / "out/a.svg").read_text(encoding="utf-8")
        xml.dom.minidom.parseString(chart)
        self.assertEqual(chart.count("<polyline"), len(names) + 1)

    def test_the_traces_that_are_shipped(self):
        self.assertEqual(len(TRACES), 3)
        self.replay(*TRACES)
        for path in TRACES:
            self.assertLess(path.stat().st_size, 1 << 20)
            (ours,) = self.results()[path.name]["pimalloc"]
            self.assertEqual((ours["notes"], ours["strangers"]), ([], 0), path.name)

    def test_one_that_was_cut_is_played_as_far_as_it_goes(self):
        path = self.record()
        whole = path.read_bytes()
        path.write_bytes(whole[:len(whole) * 2 // 3])
        said = self.replay(path)
        self.assertIn("a.record: it was cut off: ", said)
        self.assertRegex(said, r"a\.record: \d+ bytes of it are no whole blocks")
        (ours,) = self.results()["a.record"]["pimalloc"]
        self.assertGreater(ours["steps"], 20000)

    def test_one_with_a_hole_loses_a_block(self):
        path = self.record()
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 2] ^= 1
        path.write_bytes(whole)
        said = self.replay(path)
        self.assertIn("a.record: 1 blocks of it are missing", said)

    def test_what_cannot_be_played_is_named(self):
        other = self.folder / "other"
        other.write_text("no recording", encoding="utf-8")
        self.assertIn("other: it is no recording of pimalloc", self.replay(other, status=1))
        head = self.folder / "head"
        head.write_bytes(self.record().read_bytes()[:400])
        self.assertIn("there is no whole block of events", self.replay(head, status=1))
        self.assertIn("there is no such file", self.replay(self.folder / "none", status=1))
        packed = self.folder / "bad.xz"
        packed.write_bytes(b"not packed")
        self.assertIn("cannot be unpacked", self.replay(packed, status=1))

    def test_the_player_says_how_it_is_used(self):
        (player,) = BUILD.glob(f"bin/bench_player_py{platform.python_version()}")
        done = subprocess.run([player, "--help"], capture_output=True, text=True, check=True)
        for option in re.findall(r"--[a-z]+", done.stdout):
            self.assertIn(option, ("--allocator", "--label", "--samples", "--help"))
        for words in ([], ["a", "b"], ["--allocator=none", "a"], ["--samples=0", "a"]):
            done = subprocess.run([player, *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)


if __name__ == "__main__":
    unittest.main()
