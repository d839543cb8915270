#!/usr/bin/env python3
"""The service with bursts does the same work always, and its rows say so."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

import support
from lib import allocators, bursts, groups
from lib.problem import Problem

RANKED = ["pimalloc", "pymalloc"]
BY_NAME = {one.name: one for one in allocators.builtin()}


def process(*words, **variables):
    env = {name: value for name, value in os.environ.items()
           if name not in ("LD_PRELOAD", "PYTHONMALLOC")}
    return subprocess.run(
        [sys.executable, "-S", "-s", "-B", bursts.PROCESS, *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=support.SECONDS,
        env={**env, "PYTHONHASHSEED": "0", **variables})


def answer(**more):
    return {"python": "3.13.1", "served": 100, "digest": "7", "allocator":
            "pymalloc", "start_kb": 9000, "peak_kb": 20480, "after_kb": 10240,
            "resident_kb": [10240] * bursts.SECONDS, "cpu_s": 1.0,
            "wall_s": 2.0, "p50_s": 0.001, "p99_s": 0.02, "mean_s": 0.002,
            **more}


def group():
    return bursts.Bursts({"version": "3.13.1", "executable": sys.executable},
                         Path("/p.so"), groups.Setting(scale=0.1),
                         [*BY_NAME.values(),
                          allocators.Allocator("floor", "floor", None)])


class Process(unittest.TestCase):

    def test_it_serves_and_looks_at_its_memory(self):
        found = []
        for malloc in ("pymalloc", "malloc"):
            done = process("--requests=32", "--pause=0", PYTHONMALLOC=malloc)
            self.assertEqual(done.returncode, 0, done.stderr)
            found.append(json.loads(done.stdout))
        first, second = found
        self.assertEqual(first["digest"], second["digest"])
        self.assertEqual(first["allocator"], "pymalloc")
        self.assertGreater(first["served"], 8 * 20)
        self.assertEqual(len(first["resident_kb"]), bursts.SECONDS)
        self.assertGreaterEqual(first["peak_kb"], max(first["resident_kb"]))
        self.assertGreaterEqual(first["p99_s"], first["p50_s"])

    def test_bad_usage_is_said(self):
        for words, text in ((("--requests=x",), "want numbers"),
                            (("--frob=1",), "--frob"), (("--pause",),
                                                        "--pause")):
            done = process(*words)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr)
        self.assertIn("usage:", process("--help").stdout)

    def test_another_allocator_is_an_error(self):
        done = process("--requests=1", "--pause=0", "--allocator=pimalloc",
                       PYTHONMALLOC="pymalloc")
        self.assertEqual(done.returncode, 1)
        self.assertIn("asked for pimalloc", done.stderr)


class Rows(unittest.TestCase):

    def test_memory_stands_in_one_row(self):
        p50, p99, mean = group().rows(BY_NAME["pymalloc"], answer())
        self.assertEqual([row["name"] for row in (p50, p99, mean)],
                         [f"bursts/{name}/pymalloc"
                          for name in ("p50", "p99", "mean")])
        self.assertAlmostEqual(p99["cpu_time"], 20.0)
        self.assertNotIn("peak_kb", p50)
        self.assertEqual(mean["after_kb"], 10240)

    def test_no_floor_and_a_short_first_round(self):
        one = group()
        self.assertEqual([each.name for each in one.allocators],
                         ["pimalloc", "pymalloc", "mimalloc", "glibc"])
        command = one.command(BY_NAME["glibc"], False)
        self.assertIn("--requests=25", command)
        self.assertIn("--allocator=glibc", command)
        self.assertIn("--pause=0", one.command(BY_NAME["glibc"], True))

    def test_another_result_is_an_error(self):
        one = group()
        one.digests[bursts.SERVICE] = ("none", "glibc")
        one.setting = groups.Setting(scale=0.001)
        with self.assertRaisesRegex(Problem, "on pymalloc, but none on glibc"):
            one.measure(bursts.SERVICE, BY_NAME["pymalloc"])

    def rows(self):
        one, made = group(), []
        for number in range(2):
            made += one.rows(BY_NAME["pymalloc"], answer())
            made += one.rows(BY_NAME["pimalloc"], answer(
                p50_s=0.0005, resident_kb=[5120] * bursts.SECONDS))
            for row in made[-6:]:
                row["repetition_index"] = number
        return made

    def test_the_table_is_in_its_own_units(self):
        table = {row[0]: row[1:] for row in bursts.cells(self.rows(), RANKED)}
        self.assertEqual(table["p50, ms"], ["0.500 (0.50)", "1.000"])
        self.assertEqual(table["MiB idle"], ["5.0 (0.50)", "10.0"])
        self.assertEqual(bursts.cells([], RANKED), [])

    def test_memory_over_time_is_drawn(self):
        words = {"bursts": "x"}
        drawn = bursts.draw(self.rows(), RANKED, words, words)
        self.assertEqual(list(drawn), ["bursts-resident.svg"])
        self.assertIn("resident, pimalloc: 5 to 5 MiB",
                      drawn["bursts-resident.svg"])
        self.assertEqual(bursts.draw([], RANKED, words, words), {})


if __name__ == "__main__":
    unittest.main()
