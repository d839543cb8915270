"""The group `server`: web servers under load.

    server --pinned--> one processor     generator, bench/run --> another
    start, first answers, [memory], warm up, load [requests, p50, p99,
    processor time, most memory], [memory], who serves the memory, end

Rows: server/requests/HOST, whose time is that of one request and whose memory
is the most that the server had under load; server/p99/HOST.
"""

import os

from . import load, service
from .allocators import FLOORS
from .discover import numbers
from .groups import KNOWN_TO_HOSTS, REAL, Group, expect_allocator, runs_here
from .problem import Problem

LOAD_SECONDS = 10      # times --scale
WARM_SECONDS = 4
REQUESTS, P99 = "server/requests", "server/p99"


def processors(wanted):
    """(the server's, the generator's), as sets of one; the same if there is
    one only."""
    allowed = os.sched_getaffinity(0)
    server = max(wanted or allowed)
    others = allowed - {server}
    return {server}, {min(others - (wanted or set()) or others or allowed)}


def seconds(most, scale):
    return max(1, round(most * scale))  # generators want whole ones


class Server(Group):
    """Web servers as they are installed; pimalloc comes with LD_PRELOAD."""
    name = "server"
    by_preload = True

    def __init__(self, hosts, generator, preload, setting, allocators):
        super().__init__(max((host.python for host in hosts), key=numbers),
                         setting,
                         [one for one in allocators if one.name not in FLOORS])
        self.generator, self.preload = generator, preload
        self.programs = {host.name: host for host in hosts}
        self.digests = {}
        self.server_cpus, self.own_cpus = processors(setting.cpus)

    def notes(self):
        """What a reader of the figures must know."""
        server, own = (min(cpus) for cpus in (self.server_cpus, self.own_cpus))
        where = (f"processor {server}, {self.generator.name} on processor "
                 f"{own} of the same machine" if server != own else
                 f"processor {server}, which {self.generator.name} shares: "
                 "the figures are of both")
        return [f"server: {load.CONNECTIONS} requests under way; the server "
                f"runs on {where}"]

    def serving(self, host, allocator):
        return service.serving(host, self.preloaded(allocator),
                               self.server_cpus, self.own_cpus)

    def measure(self, program, allocator, warm=False):
        host = self.programs[program]
        if not runs_here(allocator, host.python):
            return [], None
        with self.serving(host, allocator) as (server, answers):
            self.check(host, allocator, answers)
            found = self.run(server, 0 if warm else self.setting.scale)
            self.check_allocator(server, allocator)  # imports a lot
        return self.rows(host, allocator, found), None

    def check(self, host, allocator, answers):
        """All interpreters are there, and all allocators do the same work."""
        self.python = answers[0]["python"]
        groups = {answer["group"] for answer in answers}
        if len(groups) != len(host.paths):
            raise Problem(f"{len(host.paths)} interpreters were to answer, "
                          f"not {sorted(groups)}")
        for answer in answers:
            digest, where = self.digests.setdefault(
                host.name, (answer["digest"], allocator.name))
            if answer["digest"] != digest:
                raise Problem(f"the answer is {answer['digest']} on "
                              f"{allocator.name}, but {digest} on {where}")

    def check_allocator(self, server, allocator):
        """It really serves this Python."""
        query = "allocator"
        if allocator.name in KNOWN_TO_HOSTS:
            query += f"={allocator.name}"
        answer = server.ask(server.host.paths[0], query)
        expect_allocator(answer["allocator"], allocator)

    def load(self, server, how_long):
        return self.generator.run(server.port, server.host.paths, how_long,
                                  server.folder)

    def run(self, server, scale):
        """Loads a server; what is kept of it."""
        before = server.settle()
        pids = set(server.pids())
        self.load(server, seconds(WARM_SECONDS, scale))
        used = server.cpu_seconds()
        with service.Sampler(server.memory) as sampler:
            loaded = self.load(server, seconds(LOAD_SECONDS, scale))
            sampler.look()
        used = server.cpu_seconds() - used
        after = server.memory()
        if set(server.pids()) != pids:
            raise server.problem("processes came or went under load")
        return {"load": loaded, "cpu_s": used, "before": before,
                "after": after, "peak_kb": max(sampler.most, after.pss_kb)}

    def rows(self, host, allocator, found):
        loaded = found["load"]
        common = {"run_type": "iteration", "threads": load.CONNECTIONS,
                  "iterations": loaded.requests, "time_unit": "ms",
                  "ratio_time": REAL, "python": self.python}
        requests = {"real_time": loaded.seconds * 1e3 / loaded.requests,
                    "cpu_time": found["cpu_s"] * 1e3 / loaded.requests,
                    "cpu_share": found["cpu_s"] / loaded.seconds,
                    "requests_per_second": loaded.requests / loaded.seconds,
                    "p50_ms": loaded.p50_ms, "p99_ms": loaded.p99_ms,
                    "peak_kb": found["peak_kb"],
                    "before_kb": found["before"].pss_kb,
                    "after_kb": found["after"].pss_kb,
                    "before_rss_kb": found["before"].rss_kb,
                    "after_rss_kb": found["after"].rss_kb}
        p99 = {"real_time": loaded.p99_ms, "cpu_time": loaded.p99_ms}
        return [{"name": f"{table}/{host.name}/{allocator.name}",
                 "run_name": f"{table}/{host.name}/{allocator.name}",
                 **common, **figures}
                for table, figures in ((REQUESTS, requests), (P99, p99))]

