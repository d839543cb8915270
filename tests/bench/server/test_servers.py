#!/usr/bin/env python3
"""Each server that is installed, run shortly as bench/run and bench/serve do.

What is measured is not tested, only that it is: by each load generator, on
pimalloc and on vanilla CPython.  Nothing but the loopback is used.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parents[3] / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True

from lib import (allocators, discover, groups, load, server,  # noqa: E402
                 webhosts)

BUILD = Path(os.environ["PIM_TEST_BUILD"])
SKIPPED = 77


def servers(test):
    """Runs a test on each server; it is skipped where none is."""
    def run(self):
        found, missing = webhosts.find()
        for name, why in missing.items():
            with self.subTest(server=name):
                self.skipTest(f"{name}: {why}")
        for host in found:
            with self.subTest(server=host.name):
                test(self, host)
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class WithGenerator(unittest.TestCase):

    def generator(self, wanted=None):
        found = load.find(wanted)
        if found is None:
            self.skipTest(f"no {wanted or load.PACKAGES}")
        return found

    def group(self, host, generator):
        return server.Server([host], self.generator(generator),
                             discover.preload_library(BUILD),
                             groups.Setting(scale=0.01),
                             allocators.builtin())


class Measured(WithGenerator):

    def check(self, host, allocator, generator=None):
        group = self.group(host, generator)
        (one,) = [each for each in group.allocators if each.name == allocator]
        rows, why = group.measure(host.name, one)
        self.assertIsNone(why)
        requests, p99 = rows
        self.assertEqual(requests["name"],
                         f"server/requests/{host.name}/{allocator}")
        self.assertGreater(requests["requests_per_second"], 0)
        self.assertLessEqual(requests["p50_ms"], p99["real_time"])
        self.assertGreater(requests["cpu_time"], 0)
        self.assertGreater(requests["before_kb"], 5_000)
        self.assertGreaterEqual(requests["peak_kb"], requests["after_kb"])

    @servers
    def test_on_pimalloc(self, host):
        self.check(host, "pimalloc")

    @servers
    def test_on_vanilla_by_ab(self, host):
        self.check(host, "pymalloc", "ab")


class Started(WithGenerator):

    @servers
    def test_as_it_is_configured(self, host):
        """Eight threads and three interpreters, or four workers."""
        group = self.group(host, None)
        with group.serving(host, group.allocators[0]) as (one, answers):
            self.assertEqual(len(one.pids()), 1 + host.workers)
            if host.name == "mod_wsgi":
                self.assertEqual([answer["group"] for answer in answers],
                                 list(webhosts.INTERPRETERS))
                threads = len(os.listdir(f"/proc/{one.pids()[1]}/task"))
                self.assertGreaterEqual(threads, webhosts.THREADS)
            else:
                self.assertEqual(host.workers, webhosts.WORKERS)


class Served(WithGenerator):

    def serve(self, *words):
        return subprocess.run(
            [sys.executable, "-B", str(BENCH / "serve"), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
            timeout=int(os.environ.get("PIM_TEST_PATIENCE", "300")))

    @servers
    def test_a_command_runs_beside_it(self, host):
        self.generator()
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder, "pids")
            done = self.serve(host.name, "--build", str(BUILD), "--seconds=1",
                              "--", "sh", "-c",
                              f"echo {{pids}} > {note}; exit 3")
            self.assertEqual(done.returncode, 3, done.stderr)
            pids = note.read_text().strip()
        self.assertRegex(pids, r"^\d+(,\d+)+$")
        self.assertIn(f"{host.name} on pimalloc", done.stdout)
        self.assertIn(pids, done.stdout)
        self.assertIn("requests per second, p50", done.stdout)


if __name__ == "__main__":
    if not webhosts.find()[0] or load.find() is None:
        print(f"SKIP: servers {webhosts.find()[1] or 'found'}, load generator "
              f"{load.find() and load.find().name}")
        sys.exit(SKIPPED)
    unittest.main()
