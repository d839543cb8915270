#!/usr/bin/env python3
"""The group of web servers, on a pretended server under a pretended load."""

import os
import signal
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import support  # noqa: F401  (finds bench/lib)
from lib import (allocators, groups, load, measure, options, ratios, results,
                 server, server_table, service, targets, webhosts)
from lib.problem import Problem
from web_support import REQUESTS, PretendedHost, PretendedLoad

CPU = min(os.sched_getaffinity(0))


class WithServer(support.WithFolder):

    def setUp(self):
        super().setUp()
        self.all = {one.name: one for one in allocators.builtin()}
        # This Python may be where only its user can read it.
        patch = mock.patch.object(service, "run_as", return_value={})
        patch.start()
        self.addCleanup(patch.stop)

    def group(self, fault="", **setting):
        self.load = PretendedLoad()
        host = PretendedHost(self.folder / "mark", fault)
        return server.Server([host], self.load, "/nonexistent/preload.so",
                             groups.Setting(cpus=frozenset([CPU]), **setting),
                             list(self.all.values()))

    def measure(self, fault="", allocator="pymalloc", **setting):
        rows, why = self.group(fault, **setting).measure(
            "pretended", self.all[allocator])
        self.assertIsNone(why)
        return rows

    def complain(self, text, fault="", allocator="pymalloc"):
        with self.assertRaisesRegex(Problem, text):
            self.measure(fault, allocator)


class Rows(WithServer):

    def test_a_run_gives_requests_and_the_slowest(self):
        requests, p99 = self.measure(scale=0.5)
        self.assertEqual(self.load.ran, [2, 5])
        self.assertEqual(requests["name"], "server/requests/pretended/pymalloc")
        self.assertEqual(p99["name"], "server/p99/pretended/pymalloc")
        self.assertAlmostEqual(requests["real_time"], 500 / REQUESTS)
        self.assertAlmostEqual(requests["requests_per_second"], 2 * REQUESTS)
        self.assertEqual((requests["p50_ms"], requests["p99_ms"]), (20, 40))
        self.assertEqual(p99["real_time"], 40)
        self.assertGreater(requests["before_kb"], 1000)
        self.assertGreaterEqual(requests["peak_kb"], requests["after_kb"])
        self.assertGreaterEqual(requests["after_rss_kb"],
                                requests["after_kb"])
        self.assertEqual(results.value_of(requests).peak_kb,
                         requests["peak_kb"])

    def test_to_warm_is_short(self):
        group = self.group(scale=3)
        group.measure("pretended", self.all["glibc"], warm=True)
        self.assertEqual(self.load.ran, [1, 1])

    def test_an_allocator_that_this_python_has_not_is_no_row(self):
        group = self.group()
        group.programs["pretended"].python = "3.12.1"
        self.assertEqual(group.measure("pretended", self.all["mimalloc"]),
                         ([], None))

    def test_the_processors_are_two(self):
        with mock.patch("os.sched_getaffinity", return_value={0, 1, 2}):
            for wanted, found in ((None, ({2}, {0})),
                                  (frozenset([1]), ({1}, {0})),
                                  (frozenset([0, 2]), ({2}, {1})),
                                  (frozenset([0]), ({0}, {1}))):
                self.assertEqual(server.processors(wanted), found)
        with mock.patch("os.sched_getaffinity", return_value={3}):
            self.assertEqual(server.processors(None), ({3}, {3}))

    def test_the_reader_is_told_of_them(self):
        group = self.group()
        group.server_cpus, group.own_cpus = {1}, {0}
        self.assertIn("processor 1, load on processor 0", group.notes()[0])
        group.own_cpus = {1}
        self.assertIn("which load shares", group.notes()[0])

    def test_it_runs_where_it_should_and_so_does_the_load(self):
        group = self.group()
        group.server_cpus = group.own_cpus = {CPU}
        before = os.sched_getaffinity(0)
        with group.serving(group.programs["pretended"],
                           self.all["pymalloc"]) as (one, _):
            self.assertEqual(os.sched_getaffinity(0), {CPU})
            self.assertEqual(os.sched_getaffinity(one.process.pid), {CPU})
        self.assertEqual(os.sched_getaffinity(0), before)


class Faults(WithServer):

    def test_a_request_that_fails_is_no_figure(self):
        self.complain(f"requests failed, {REQUESTS - 1} answered: status 1",
                      "refuses")

    def test_a_server_that_ends_shows_its_log(self):
        self.complain(r"ended by itself, exit status 1: env -i (.|\n)*"
                      "no such module", "ends")

    def test_a_port_that_is_taken_is_changed(self):
        for fault in ("taken", "foreign"):
            (self.folder / "mark").unlink(missing_ok=True)
            self.assertEqual(len(self.measure(fault)), 2, fault)

    def test_ports_are_not_tried_for_ever(self):
        with mock.patch.object(service, "PORTS", 1):
            self.complain("free ports were taken", "taken")

    def test_processes_that_change_under_load_are_an_error(self):
        with mock.patch.object(service, "END_SECONDS", 0.2):
            self.complain("processes came or went under load", "forks")

    def test_a_preload_that_fails_is_no_run(self):
        self.complain("LD_PRELOAD did not work", allocator="pimalloc")

    def test_another_allocator_is_not_believed(self):
        with mock.patch.object(server.Server, "preloaded",
                               return_value={"PYTHONMALLOC": "malloc"}):
            self.complain("pymalloc but says (.|\n)*runs on glibc")

    def test_answers_must_be_the_same(self):
        group = self.group()
        group.digests["pretended"] = ("1", "glibc")
        with self.assertRaisesRegex(Problem, "on pymalloc, but 1 on glibc"):
            group.measure("pretended", self.all["pymalloc"])


class Ends(WithServer):

    def run_one(self, fault=""):
        """The folder and the process ids of a server that has ended."""
        group = self.group(fault)
        with group.serving(group.programs["pretended"],
                           self.all["pymalloc"]) as (one, _):
            group.load(one, 1)
            pids = one.pids()
        return one.folder, pids

    def check_gone(self, folder, pids):
        self.assertFalse(folder.exists())
        for pid in pids:
            self.assertFalse(Path(f"/proc/{pid}").exists(), pid)

    def test_nothing_is_left(self):
        self.check_gone(*self.run_one())

    def test_one_that_will_not_end_is_made_to(self):
        with mock.patch.object(service, "END_SECONDS", 0.2):
            self.check_gone(*self.run_one("stays"))

    def test_what_it_left_behind_is_ended_too(self):
        with mock.patch.object(service, "END_SECONDS", 0.2):
            folder, pids = self.run_one("forks")
        self.assertEqual(len(pids), 2)
        self.assertFalse(folder.exists())
        end = time.monotonic() + 60  # somebody else reaps the orphan
        while Path(f"/proc/{pids[1]}").exists() and time.monotonic() < end:
            state = Path(f"/proc/{pids[1]}/stat").read_text()
            if state.rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.01)
        else:
            self.assertFalse(Path(f"/proc/{pids[1]}").exists())

    def test_an_error_ends_it_too(self):
        group = self.group()
        with self.assertRaises(ZeroDivisionError):
            with group.serving(group.programs["pretended"],
                               self.all["pymalloc"]) as (one, _):
                pid = one.process.pid
                raise ZeroDivisionError
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


class Configurations(unittest.TestCase):
    """Without __init__(), which looks for the programs."""

    def text(self, kind):
        host = kind.__new__(kind)
        host.program = "/x/program"
        (text,), (name,) = (host.files(Path("/f"), 8123).values(),
                            host.files(Path("/f"), 8123))
        words = [str(word) for word in host.command(Path("/f"))]
        self.assertIn(f"/f/{name}", words)
        return text

    def test_apache_has_eight_threads_and_three_interpreters(self):
        text = self.text(webhosts.ModWsgi)
        self.assertIn("Listen 127.0.0.1:8123\n", text)
        self.assertIn("ThreadsPerChild 8\n", text)
        self.assertIn("ServerLimit 1\n", text)
        self.assertIn("WSGIScriptAlias /two /f/application.py\n", text)
        self.assertEqual(text.count("WSGIApplicationGroup "), 3)
        self.assertEqual(webhosts.ModWsgi.paths, ("/one", "/two", "/three"))

    def test_the_others_have_four_workers(self):
        self.assertIn("\nprocesses = 4\n", self.text(webhosts.Uwsgi))
        text = self.text(webhosts.Gunicorn)
        self.assertIn('bind = "127.0.0.1:8123"\n', text)
        self.assertIn("\nworkers = 4\n", text)
        compile(text, "gunicorn.conf.py", "exec")

    def test_what_is_not_installed_says_its_package(self):
        with mock.patch("shutil.which", return_value=None):
            found, missing = webhosts.find()
        self.assertEqual(found, [])
        self.assertEqual(missing["mod_wsgi"], "not installed (Debian: apache2 "
                         "libapache2-mod-wsgi-py3)")
        self.assertEqual(list(missing), list(webhosts.NAMES))

    def test_pythons_that_are_not_served_say_so(self):
        with tempfile.NamedTemporaryFile() as library:
            path = Path(library.name)
            for text, says in ((b"\0libpython3.11.so.1.0\0", "older than"),
                               (b"\0libpython3.14t.so.1.0\0", "does not say"),
                               (b"", "does not say")):
                path.write_bytes(text)
                with self.assertRaisesRegex(webhosts.Missing, says):
                    webhosts.library_python(path, "x")
            path.write_bytes(b"\0libpython3.14.so.1.0\0")
            self.assertEqual(webhosts.library_python(path, "x"), "3.14")


class Found(unittest.TestCase):

    def made(self, hosts, missing, generator=PretendedLoad()):
        chosen = options.parse(["--only=server"])
        with mock.patch.object(load, "find", return_value=generator), \
                mock.patch.object(webhosts, "find",
                                  return_value=(hosts, missing)):
            return measure.make_groups(chosen, allocators.available()[0])

    def setUp(self):
        patch = mock.patch.object(measure, "find_hosts", return_value={
            "micro": None, "macro": None})
        patch.start()
        self.addCleanup(patch.stop)

    def test_those_that_are_missing_are_said_and_the_others_run(self):
        host = PretendedHost("/nonexistent")
        (group,), missing = self.made([host], {"uwsgi": "not installed"})
        self.assertEqual(list(group.programs), ["pretended"])
        self.assertEqual(missing, {"server/uwsgi": "not installed"})

    def test_without_being_told_only_vanilla_and_its_mimalloc_are_rivals(self):
        (group,), _ = self.made([PretendedHost("/nonexistent")], {})
        self.assertLessEqual({one.name for one in group.allocators},
                             set(allocators.MAIN))

    def test_without_any_or_without_a_load_there_is_no_group(self):
        with self.assertRaisesRegex(Problem, "server cannot be run: no server"
                                    "; server/uwsgi: not installed"):
            self.made([], {"uwsgi": "not installed"})
        with self.assertRaisesRegex(Problem, "no load generator"):
            self.made([PretendedHost("/nonexistent")], {}, None)

    def test_quick_leaves_servers_out_unless_they_are_named(self):
        self.assertNotIn("server", options.parse(["--quick"]).only)
        self.assertIn("server", options.parse([]).only)
        self.assertEqual(options.parse(["--quick", "--only=server"]).only,
                         ["server"])


def server_rows(name, rates, kilobytes, rounds=1):
    """Rows of a server, by allocator."""
    rows = []
    for number in range(rounds):
        for allocator, rate in rates.items():
            row = support.entry(
                f"{server.REQUESTS}/{name}/{allocator}", number, 1e3 / rate,
                kilobytes[allocator], ratio_time="real_time",
                requests_per_second=rate, p50_ms=30.0, p99_ms=60.0,
                before_kb=kilobytes[allocator] // 2,
                after_kb=kilobytes[allocator])
            rows += [row, support.entry(f"{server.P99}/{name}/{allocator}",
                                        number, 60.0)]
    return rows


class Figures(unittest.TestCase):
    ROWS = server_rows("mod_wsgi", {"pimalloc": 240.0, "pymalloc": 200.0},
                       {"pimalloc": 30720, "pymalloc": 32768}, rounds=3)

    def test_servers_are_two_tables_of_ratios(self):
        found = ratios.summaries(results.collate(self.ROWS))
        self.assertEqual(list(found), [server.REQUESTS, server.P99])
        row, = found[server.REQUESTS]["pymalloc"].rows
        self.assertAlmostEqual(row.time.middle, 1.2)
        self.assertAlmostEqual(row.memory.middle, 0.9375)
        self.assertIsNone(found[server.P99]["pymalloc"].memory)

    def test_and_one_in_their_own_units(self):
        heading, *lines = server_table.cells(self.ROWS,
                                             ["pimalloc", "pymalloc"])
        self.assertEqual(heading, ["server", "", "pimalloc", "pymalloc"])
        found = {line[1]: line[2:] for line in lines}
        self.assertEqual(found["requests per second"],
                         ["240.0 (1.20 [1.20, 1.20])", "200.0"])
        self.assertEqual(found["MiB at most"],
                         ["30.0 (0.94 [0.94, 0.94])", "32.0"])
        self.assertEqual(server_table.cells(
            [support.entry("micro/x/pimalloc", 0, 1.0)], ["pimalloc"]), [])

    def test_they_have_targets(self):
        summaries = ratios.summaries(results.collate(self.ROWS))
        found = {one.what: one.reached for one in
                 targets.judge({}, summaries)}
        self.assertEqual(found, {
            "mod_wsgi against pymalloc, requests per second": True,
            "mod_wsgi against pymalloc, memory": True})


if __name__ == "__main__":
    unittest.main()
