#!/usr/bin/env python3
"""bench/run and bench/compare as a user calls them, on pretended hosts."""

import contextlib
import io
import json
import unittest

import support
from lib import serve
from support import bench_run, calls, entry, tool


class WithTools(support.WithFolder):

    def succeed(self, done, status=0):
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done.stdout


class Run(WithTools):

    def run_all(self, *words, status=0, **factors):
        support.make_tree(self.folder, **factors)
        return self.succeed(bench_run(self.folder, *words), status)

    def document(self):
        return json.loads((self.folder / "out/results.json").read_text())

    def test_it_writes_every_run_and_prints_the_means(self):
        said = self.run_all("--rounds=3", "--scale=0.5", pymalloc=2.0,
                            mimalloc=1.5, glibc=0.5, floor=0.25)
        self.assertRegex(said, r"(?m)^geomean micro +pymalloc +4  2\.000 \[")
        self.assertRegex(said,
                         r"(?m)^geomean macro/embedded1 +mimalloc +2  1\.500")
        names = sorted(path.name for path in (self.folder / "out").iterdir())
        self.assertEqual(names, [
            "macro-embedded1-after.svg", "macro-embedded1-memory.svg",
            "macro-embedded1-time.svg", "macro-embedded2-after.svg",
            "macro-embedded2-memory.svg", "macro-embedded2-time.svg",
            "micro-time.svg", "results.json", "table.md", "table.txt"])
        rows = self.document()["benchmarks"]
        # 4 rows on 5 allocators; 2 programs on these, and in two interpreters
        # at a time on 4.
        self.assertEqual(len(rows), 3 * (4 * 5 + 2 * 5 + 2 * 4))
        self.assertEqual({row["repetitions"] for row in rows}, {3})
        self.assertEqual({row["repetition_index"] for row in rows}, {0, 1, 2})

    def test_the_context_says_what_was_measured(self):
        self.run_all("--rounds=1", "--commit=v9")
        context = self.document()["context"]
        self.assertEqual(context["commit"], "v9")
        self.assertEqual(context["pythons"]["micro"]["version"],
                         support.VERSION)
        self.assertEqual(list(context["allocators"]),
                         ["pimalloc", "pymalloc", "mimalloc", "glibc",
                          "floor"])
        for name in ("date", "cpu_model", "kernel", "command", "num_cpus"):
            self.assertTrue(context[name], name)

    def test_one_program_of_one_group(self):
        support.make_tree(self.folder)
        self.succeed(bench_run(self.folder, "--program=js", "--rounds=2",
                               groups="embedded1"))
        words = calls(self.folder / "build")
        self.assertEqual({line[0] for line in words},
                         {f"bench_macro_py{support.VERSION}"})
        self.assertEqual(len(words), 1 + 5 * 2)
        self.assertTrue(all("--program=json" in line for line in words))
        self.assertEqual(sum("--loops=1" in line for line in words), 1)

    def test_list_runs_nothing(self):
        said = self.run_all("--list")
        self.assertIn("macro/embedded2/lists", said.splitlines())
        self.assertFalse((self.folder / "out").exists())

    def test_a_missed_target_is_an_exit_status(self):
        fast = {"pymalloc": 3.0, "mimalloc": 3.0, "glibc": 3.0, "floor": 0.9,
                "peaks": {"pimalloc": 0.5}}
        said = self.run_all("--targets", "--rounds=1", status=0, **fast)
        self.assertNotIn("MISSED", said)
        (self.folder / "build/bin/factors.json").write_text("{}")
        said = self.succeed(bench_run(self.folder, "--targets", "--rounds=1"),
                            1)
        self.assertIn("MISSED", said)

    def test_charts_of_an_earlier_run_do_not_stay(self):
        self.run_all("--rounds=1")
        self.succeed(bench_run(self.folder, "--rounds=1",
                               groups="embedded2"))
        names = {path.name for path in (self.folder / "out").glob("*.svg")}
        self.assertEqual(names, {"macro-embedded2-after.svg",
                                 "macro-embedded2-memory.svg",
                                 "macro-embedded2-time.svg"})

    def test_an_aged_process_has_its_table_and_its_chart(self):
        support.make_tree(self.folder, pymalloc=2.0)
        said = self.succeed(bench_run(self.folder, "--rounds=1",
                                      groups="aged/embedded1"))
        self.assertRegex(said, r"(?m)^lists_part +20\.4 +23\.\d +\+22 % +40\.8")
        self.assertRegex(said,
                         r"(?m)^geomean aged/embedded1 +pymalloc +4  2\.0")
        svg = (self.folder / "out/aged-embedded1-repetitions.svg").read_text()
        self.assertIn("lists_part, pymalloc: 40 to 49.2 ms", svg)

    def test_what_others_used_is_saved(self):
        self.run_all("--rounds=2", "--program=json")
        seen = self.document()["context"]["busy"]
        self.assertEqual(len(seen["rounds"]), 2)
        for one in seen["rounds"]:
            self.assertGreaterEqual(one["before"]["others"], 0.0)
            self.assertGreaterEqual(one["during"]["others"], 0.0)
        text = (self.folder / "out/table.txt").read_text()
        self.assertEqual("BUSY MACHINE" in text, bool(seen["said"]))

    def test_a_program_that_cannot_run_is_said(self):
        said = self.run_all("--rounds=1", skips="lists")
        self.assertIn("macro/embedded1/lists: not run, no module", said)
        self.assertEqual(list(self.document()["context"]["skipped"]),
                         ["macro/embedded1/lists", "macro/embedded2/lists"])


class RunFails(WithTools):

    def complain(self, *words, groups="micro,embedded1", **factors):
        if factors:
            support.make_tree(self.folder, **factors)
        done = bench_run(self.folder, *words, "--rounds=1", groups=groups)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertTrue(done.stderr.startswith("bench/run: "), done.stderr)
        return done.stderr

    def test_a_host_that_fails_is_named_with_its_command(self):
        said = self.complain(broken="mimalloc")
        self.assertIn("on mimalloc: exit status 1: host: something is broken",
                      said)
        self.assertIn("--allocator=mimalloc", said)
        self.assertFalse((self.folder / "out/results.json").exists())

    def test_another_allocator_than_asked_for_is_an_error(self):
        self.assertIn("says it ran on 'pymalloc'",
                      self.complain(pretend="pymalloc"))

    def test_a_tree_without_hosts_says_what_to_do(self):
        self.assertIn("build the preset bench there", self.complain())

    def test_a_python_that_no_host_has(self):
        self.assertIn(f"there are {support.VERSION}",
                      self.complain("--embedded=3.13", pymalloc=1.0))

    def test_a_pattern_without_a_match(self):
        self.assertIn("no program has a match",
                      self.complain("--program=nothing", pymalloc=1.0))

    def test_a_python_that_is_none(self):
        self.assertIn("there is no /nonexistent/python",
                      self.complain("--python=/nonexistent/python",
                                    groups="stock", pymalloc=1.0))

    def test_servers_that_are_missing_say_what_to_install(self):
        support.make_tree(self.folder)
        done = bench_run(self.folder, "--list", groups="server", PATH="/x")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, "server cannot be run: no load "
                         "generator .Debian: wrk or apache2-utils")

    def test_bad_usage(self):
        for words in (["--rounds=0"], ["--only=macros"], ["--cpu=one"],
                      ["--program=("], ["--seconds=-1"], ["--rest=-1"]):
            done = tool("run", *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("bench/run: error:", done.stderr)


class Serve(unittest.TestCase):

    def errors(self, function, *arguments):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            function(*arguments)
        return said.getvalue()

    def test_bad_usage(self):
        for words in (["--seconds=1"], ["nginx"], ["uwsgi", "--cpu=x"],
                      ["uwsgi", "--seconds=0"]):
            with self.assertRaises(SystemExit) as caught:
                self.errors(serve.parse, words)
            self.assertEqual(caught.exception.code, 2, words)

    def test_the_command_is_what_follows_two_strokes(self):
        options = serve.parse(["uwsgi", "--seconds=3", "--", "perf", "--", "x"])
        self.assertEqual(options.command, ["perf", "--", "x"])
        self.assertEqual(serve.parse(["uwsgi"]).command, [])

    def test_what_cannot_be_run_says_why(self):
        for word, why in (("--on=floor", "there are pimalloc, pymalloc"),
                          ("--on=nedmalloc", "there are pimalloc, pymalloc"),
                          ("--cpu=999", "this process may use")):
            said = self.errors(serve.main, ["uwsgi", word])
            self.assertIn("bench/serve: " + word.split("=")[0], said)
            self.assertIn(why, said)
        done = tool("serve", "uwsgi", "--on=floor")
        self.assertEqual(done.returncode, 1, done.stdout)


class Compare(WithTools):

    def file(self, name, rows, context=None):
        path = self.folder / name
        path.write_text(json.dumps({"context": context or {},
                                    "benchmarks": rows}))
        return path

    def ours(self, name, times, noise=(0.99, 1.0, 1.01, 1.0)):
        """`times` by row; pymalloc always takes 10."""
        rows = []
        for number, factor in enumerate(noise):
            for row, time in times.items():
                rows += [entry(f"{row}/pimalloc", number, time * factor, 1000),
                         entry(f"{row}/pymalloc", number, 10 * factor, 1000)]
        return self.file(name, rows, {"executable": "bench/run"})

    def test_a_slower_row_is_found(self):
        before = self.ours("a.json", {"micro/x": 5.0, "macro/stock/y": 100.0})
        after = self.ours("b.json", {"micro/x": 5.0, "macro/stock/y": 110.0})
        said = self.succeed(tool("compare", before, after), 1)
        self.assertRegex(said, r"macro/stock/y/pimalloc .* 1\.100 \[.*WORSE")
        self.assertNotIn("pymalloc", said)
        self.assertIn("1 of 2 rows worse", said)
        self.succeed(tool("compare", before, after, "--threshold=15%"))
        self.succeed(tool("compare", after, before))

    def test_noise_is_no_regression(self):
        noise = (0.7, 1.0, 1.3, 1.1, 0.8)
        before = self.ours("a.json", {"micro/x": 5.0}, noise)
        after = self.ours("b.json", {"micro/x": 5.3}, noise)
        self.assertNotIn("WORSE", self.succeed(tool("compare", before,
                                                    after)))

    def test_a_slower_machine_is_divided_out(self):
        before = self.ours("a.json", {"micro/x": 5.0})
        after = self.ours("b.json", {"micro/x": 5.0})
        document = json.loads(after.read_text())
        for row in document["benchmarks"]:
            row["real_time"] *= 2
            row["cpu_time"] *= 2
        after.write_text(json.dumps(document))
        self.succeed(tool("compare", before, after), 1)
        self.succeed(tool("compare", before, after, "--relative-to",
                          "pymalloc"))

    def test_memory_is_compared_on_demand(self):
        before = self.ours("a.json", {"macro/stock/y": 5.0})
        after = self.file("b.json", [
            entry("macro/stock/y/pimalloc", number, 5.0, 1200)
            for number in range(4)], {"executable": "bench/run"})
        self.succeed(tool("compare", before, after))
        said = self.succeed(tool("compare", before, after, "--memory"), 1)
        self.assertIn("1.200", said)
        done = tool("compare", before, after, "--after")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("no row of pimalloc with after_kb", done.stderr)

    def test_files_of_google_benchmark_will_do(self):
        rows = [{"name": "BM_x", "run_type": "iteration", "real_time": 9.0,
                 "cpu_time": 8.0, "time_unit": "us"},
                {"name": "BM_x_median", "run_name": "BM_x",
                 "run_type": "aggregate", "aggregate_name": "median",
                 "real_time": 1.0, "cpu_time": 1.0, "time_unit": "us"}]
        before = self.file("a.json", rows)
        said = self.succeed(tool("compare", before, before))
        self.assertRegex(said, r"BM_x +8\.00 us +8\.00 us +1\.000")
        only_medians = self.file("m.json", rows[1:])
        said = self.succeed(tool("compare", only_medians, before))
        self.assertRegex(said, r"BM_x +1\.00 us +8\.00 us +8\.000 +worse\?")
        self.succeed(tool("compare", only_medians, before, "--strict"), 1)

    def test_three_runs_cannot_tell(self):
        noise = (0.99, 1.0, 1.01)
        before = self.ours("a.json", {"micro/x": 5.0}, noise)
        after = self.ours("b.json", {"micro/x": 6.0}, noise)
        said = self.succeed(tool("compare", before, after))
        self.assertIn("worse?", said)
        self.assertIn("1 more may be worse", said)

    def test_a_row_of_one_file_only_is_said(self):
        before = self.ours("a.json", {"micro/x": 5.0, "micro/y": 5.0})
        after = self.ours("b.json", {"micro/x": 5.0, "micro/z": 5.0})
        said = self.succeed(tool("compare", before, after))
        self.assertIn(f"only in {before}: micro/y/pimalloc", said)
        self.assertIn(f"only in {after}: micro/z/pimalloc", said)

    def test_what_cannot_be_compared_says_why(self):
        good = self.ours("a.json", {"micro/x": 5.0})
        other = self.ours("b.json", {"micro/y": 5.0})
        broken = self.folder / "c.json"
        broken.write_text("{")
        for second, why in ((other, "no row in common"),
                            (broken, "not JSON"),
                            (self.file("d.json", []), "no row"),
                            (self.folder / "none.json", "No such file")):
            done = tool("compare", good, second)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(why, done.stderr)


if __name__ == "__main__":
    unittest.main()
