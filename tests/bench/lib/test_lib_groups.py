#!/usr/bin/env python3
"""Commands, environments, and the answers that are not believed."""

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import support
from lib import allocators, child, discover, groups
from lib.problem import Problem

SETTING = groups.Setting(scale=0.5, min_time=0.02, cpus=None)


class WithTree(support.WithFolder):
    factors = {}

    def setUp(self):
        super().setUp()
        self.build = support.make_tree(self.folder, **self.factors)
        self.all = {one.name: one for one in allocators.builtin()}
        for name in allocators.FLOORS:
            self.all[name] = allocators.Allocator(name, name, None)
        self.all["jemalloc"] = allocators.general("jemalloc", "/x/libje.so")

    def host(self, kind):
        return discover.choose_host(discover.find_hosts(self.build), kind,
                                    None)

    def micro(self):
        return groups.Micro(self.host("micro"), SETTING,
                            list(self.all.values()))

    def embedded(self, count=1):
        return groups.Embedded(self.host("macro"), count, SETTING,
                               list(self.all.values()),
                               self.folder / "programs")

    def stock(self, version="3.13.1"):
        return groups.Stock({"version": version, "executable": "/py"},
                            Path("/p/libpimalloc-preload.so"), SETTING,
                            list(self.all.values()),
                            self.folder / "programs")


class Commands(WithTree):

    def test_a_pattern_is_run_row_by_row(self):
        micro = self.micro()
        self.assertEqual(list(micro.programs), ["pair", "growth",
                                                "parallel_pair"])
        words = micro.command("pair", self.all["glibc"], False)
        self.assertIn("--benchmark_filter=^(pair/32|pair/64)$", words)
        self.assertIn("--benchmark_min_time=0.02", words)
        self.assertEqual(words[1:3], ["--allocator=malloc", "--label=glibc"])

    def test_only_parallel_rows_have_all_processors(self):
        micro = self.micro()
        micro.setting = SETTING._replace(cpus=frozenset([1]))
        self.assertEqual(micro.cpus("pair"), {1})
        self.assertIsNone(micro.cpus("parallel_pair"))
        two = self.embedded(2)
        two.setting = micro.setting
        self.assertIsNone(two.cpus("json"))

    def test_loops_are_scaled_and_one_at_least(self):
        one = self.embedded()
        self.assertIn("--loops=4", one.command("json", self.all["glibc"],
                                               False))
        self.assertIn("--loops=1", one.command("json", self.all["glibc"],
                                               True))
        one.setting = SETTING._replace(scale=0.001)
        self.assertIn("--loops=1", one.command("json", self.all["glibc"],
                                               False))

    def test_the_floors_run_one_interpreter_at_a_time(self):
        for group, there in ((self.embedded(), True),
                             (self.embedded(2), False),
                             (self.stock(), False)):
            names = {one.name for one in group.allocators}
            self.assertEqual(names >= set(allocators.FLOORS), there,
                             group.name)
            self.assertEqual(bool(names & set(allocators.FLOORS)), there)

    def test_memory_is_looked_at_again_after_a_rest(self):
        one = self.embedded()
        one.setting = SETTING._replace(rest=0.25)
        self.assertIn("--rest=0.25", one.command("json", self.all["glibc"],
                                                 False))
        self.assertIn("--rest=0", one.command("json", self.all["glibc"], True))

    def test_mimalloc_came_with_3_13(self):
        for version, there in (("3.12.9", False), ("3.13.0", True),
                               ("3.14.2", True)):
            host = self.host("micro")._replace(version=version)
            micro = groups.Micro(host, SETTING, list(self.all.values()))
            for group in (self.stock(version), micro):
                names = [one.name for one in group.allocators]
                self.assertEqual("mimalloc" in names, there, version)


class Environments(WithTree):

    def test_stock_pythons_are_told_by_it(self):
        stock = self.stock()
        wanted = {"pimalloc": (None, "/p/libpimalloc-preload.so"),
                  "pymalloc": ("pymalloc", None),
                  "mimalloc": ("mimalloc", None), "glibc": ("malloc", None),
                  "jemalloc": ("malloc", "/x/libje.so")}
        for name, (malloc, library) in wanted.items():
            env = stock.environment(self.all[name])
            self.assertEqual(env.get("PYTHONMALLOC"), malloc, name)
            self.assertEqual(env.get("LD_PRELOAD"), library, name)
            self.assertEqual(env["PYTHONHASHSEED"], "0")

    def test_hosts_are_told_by_their_options(self):
        one = self.embedded()
        for name in ("pimalloc", "pymalloc", "mimalloc", "glibc"):
            env = one.environment(self.all[name])
            self.assertNotIn("PYTHONMALLOC", env)
            self.assertNotIn("LD_PRELOAD", env)
        env = one.environment(self.all["jemalloc"])
        self.assertEqual(env["LD_PRELOAD"], "/x/libje.so")

    def test_nothing_of_the_users_shell_gets_in(self):
        strange = {"PYTHONPATH": "/elsewhere", "PYTHONMALLOC": "debug",
                   "LD_PRELOAD": "/x.so", "MALLOC_ARENA_MAX": "1",
                   "PIMALLOC_DEBUG": "1", "LD_LIBRARY_PATH": "/kept"}
        with mock.patch.dict(os.environ, strange):
            env = child.environment(self.all["pymalloc"])
        self.assertEqual({name for name in strange if name in env},
                         {"LD_LIBRARY_PATH"})


class Children(unittest.TestCase):

    def test_a_preload_that_fails_is_no_run(self):
        with self.assertRaisesRegex(Problem, "LD_PRELOAD did not work"):
            child.run([sys.executable, "-c", "print(1)"],
                      {"LD_PRELOAD": "/nonexistent/lib.so"})

    def test_a_failure_says_what_was_run(self):
        with self.assertRaises(Problem) as caught:
            child.run([sys.executable, "-c", "import sys; sys.exit('bad')"],
                      {"PYTHONMALLOC": "malloc"})
        self.assertIn("exit status 1: bad", str(caught.exception))
        self.assertIn("env -i PYTHONMALLOC=malloc", str(caught.exception))

    def test_a_crash_is_named(self):
        with self.assertRaisesRegex(Problem, "killed by SIGABRT"):
            child.run([sys.executable, "-c", "import os; os.abort()"], {})

    def test_it_may_not_run_for_ever(self):
        with self.assertRaisesRegex(Problem, "still running after 0.2 s"):
            child.run([sys.executable, "-c", "while True: pass"], {},
                      timeout=0.2)

    def test_it_stays_on_its_processors(self):
        cpu = min(os.sched_getaffinity(0))
        said = child.run([sys.executable, "-c", "import os; "
                          "print(sorted(os.sched_getaffinity(0)))"], {},
                         frozenset([cpu]))
        self.assertEqual(said.strip(), f"[{cpu}]")


class Answers(WithTree):
    factors = {"pymalloc": 2.0, "peaks": {"pymalloc": 1.5}}

    def test_a_pattern_gives_a_row_for_each_size(self):
        rows, why = self.micro().measure("pair", self.all["pymalloc"])
        self.assertIsNone(why)
        self.assertEqual([row["name"] for row in rows],
                         ["micro/pair/32/pymalloc", "micro/pair/64/pymalloc"])
        self.assertEqual(rows[0]["cpu_time"], 20)
        self.assertEqual(rows[0]["ratio_time"], "cpu_time")

    def test_parallel_rows_are_compared_by_the_wall(self):
        rows, _ = self.micro().measure("parallel_pair", self.all["pimalloc"])
        self.assertEqual(rows[0]["ratio_time"], "real_time")
        rows, _ = self.embedded(2).measure("json", self.all["pimalloc"])
        self.assertEqual(rows[0]["ratio_time"], "real_time")
        self.assertEqual(rows[0]["iterations"], 8)

    def test_a_program_gives_one_row(self):
        rows, _ = self.embedded().measure("lists", self.all["pymalloc"])
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["name"], "macro/embedded1/lists/pymalloc")
        self.assertAlmostEqual(rows[0]["cpu_time"], 200.0)
        self.assertEqual(rows[0]["peak_kb"], 30000)
        self.assertEqual(rows[0]["after_kb"], 22500)


class Disturbed(WithTree):
    factors = {"busy": 0.5}

    def test_it_is_tried_again_but_not_for_ever(self):
        rows, _ = self.micro().measure("parallel_pair", self.all["pimalloc"])
        self.assertEqual(rows[0]["busy"], 0.5)
        self.assertEqual(len(support.calls(self.build)),
                         1 + groups.ATTEMPTS)  # the first lists the rows


class WrongAllocator(WithTree):
    factors = {"pretend": "pymalloc"}

    def test_it_is_not_believed(self):
        for group, program in ((self.micro(), "pair"),
                               (self.embedded(), "json")):
            with self.assertRaisesRegex(Problem, "pimalloc but says it ran "
                                        "on 'pymalloc'"):
                group.measure(program, self.all["pimalloc"])


class OtherWork(WithTree):
    factors = {"digests": {"glibc": "8"}}

    def test_results_must_be_the_same(self):
        one = self.embedded()
        one.measure("json", self.all["pimalloc"])
        with self.assertRaisesRegex(Problem, "result is 8 on glibc, but 7 on "
                                    "pimalloc"):
            one.measure("json", self.all["glibc"])


class Skipping(WithTree):
    factors = {"skips": "json"}

    def test_the_reason_is_handed_on(self):
        self.assertEqual(self.embedded().measure("json",
                                                 self.all["pimalloc"]),
                         (None, "no module"))


class Rivals(unittest.TestCase):

    def test_a_library_may_be_named(self):
        with tempfile.NamedTemporaryFile(suffix=".so") as library:
            found, missing = allocators.available(
                [f"jemalloc={library.name}", f"snmalloc={library.name}"])
            paths = {one.name: one.library for one in found}
            self.assertEqual(paths["jemalloc"], Path(library.name).resolve())
            self.assertEqual(paths["snmalloc"], Path(library.name).resolve())
            self.assertNotIn("jemalloc", missing)

    def test_another_build_of_pimalloc_runs_where_it_is_preloaded(self):
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "libpimalloc-preload.so")
            library.write_text("")
            found, _ = allocators.available([f"before={library}"])
        before = next(one for one in found if one.name == "before")
        self.assertTrue(before.is_other_build)
        stock = groups.Stock({"version": "3.13.1", "executable": "/py"},
                             Path("/p.so"), SETTING, found, Path(folder))
        self.assertIn(before, stock.allocators)
        env = stock.environment(before)
        self.assertEqual(env["LD_PRELOAD"], str(library.resolve()))
        self.assertNotIn("PYTHONMALLOC", env)
        groups.expect_allocator("pimalloc", before)
        host = discover.Host("micro", "3.14.1", Path("/host"))
        micro = groups.Micro(host, SETTING, found, ["pair/32"])
        self.assertNotIn(before, micro.allocators)
        self.assertEqual([one.name for one in micro.allocators][:2],
                         ["pimalloc", "pymalloc"])

    def test_the_library_of_mimalloc_is_a_malloc(self):
        with tempfile.TemporaryDirectory() as folder:
            for soname in ("libmimalloc.so.2", "libmimalloc.so.3"):
                library = Path(folder, soname)
                library.write_text("")
                with mock.patch.dict(os.environ,
                                     {"LD_LIBRARY_PATH": folder}):
                    found, _ = allocators.available()
                one = next(one for one in found if one.name == "libmimalloc")
                self.assertEqual(one.pythonmalloc, "malloc")
                self.assertEqual(one.library, library)
        self.assertEqual(groups.host_words(one),
                         ["--allocator=malloc", "--label=libmimalloc"])
        groups.expect_allocator("libmimalloc", one)

    def test_nonsense_is_refused(self):
        for text in ("jemalloc", "=x", "pymalloc=/bin/sh", "x=/nonexistent",
                     "ordered=/bin/sh"):
            with self.assertRaises(Problem, msg=text):
                allocators.available([text])

    def test_unknown_names_are_refused_with_the_known(self):
        found, _ = allocators.available()
        with self.assertRaisesRegex(Problem, "pimalloc, pymalloc, mimalloc"):
            allocators.choose(["nedmalloc"], found)

    def test_ours_and_the_base_are_always_run(self):
        found, _ = allocators.available()
        self.assertEqual([one.name for one
                          in allocators.choose(["glibc"], found)],
                         ["pimalloc", "pymalloc", "glibc"])


class Hosts(WithTree):

    def test_3_14_is_preferred_and_debug_builds_are_not(self):
        binaries = self.build / "bin"
        for version in ("3.13.9", "3.15.2", "3.14.100d"):
            support.script(binaries / f"bench_macro_py{version}", "")
        support.script(binaries / "bench_macro_py3.15.0a7", "")
        hosts = discover.find_hosts(self.build)
        self.assertEqual([host.version for host in hosts
                          if host.kind == "macro"],
                         ["3.15.2", "3.15.0a7", "3.14.100d", support.VERSION,
                          "3.13.9"])
        for wanted, version in ((None, support.VERSION), ("3.15", "3.15.2"),
                                ("3.15.0a7", "3.15.0a7"),
                                ("3.13.9", "3.13.9"), ("3.1", None),
                                ("3.14.100d", "3.14.100d")):
            host = discover.choose_host(hosts, "macro", wanted)
            self.assertEqual(host.version if host else None, version)


if __name__ == "__main__":
    unittest.main()
