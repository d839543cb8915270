"""bench/serve: one server under load, and a command beside it."""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import allocators, child, discover, load, server, webhosts
from .groups import Setting, runs_here
from .options import positive, words
from .problem import Problem

PIDS = "{pids}"
DESCRIPTION = f"""\
Run one server of bench/run's group `server` under load, as it is run there, and
a command beside it, such as a profiler.  In its words {PIDS} stands for the
process ids of the server, with commas between them.

  bench/serve mod_wsgi --seconds 25 -- \\
      perf record -e cpu-clock -F 999 -o perf.data -p {PIDS} -- sleep 20
  perf report -i perf.data --no-children --sort dso,symbol

docs/benchmarks.md has more.  Without a command it only says the requests.
"""
EPILOG = """\
exit status: 0; that of the command; 1 something failed; 2 bad usage.
"""


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/serve", description=DESCRIPTION, epilog=EPILOG,
        usage="bench/serve SERVER [options] [-- COMMAND ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("server", choices=webhosts.NAMES, metavar="SERVER",
        help=", ".join(webhosts.NAMES))
    add("--on", default=allocators.OURS, metavar="ALLOCATOR",
        help=f"{', '.join(allocators.MAIN)} or another one of bench/run "
        f"(default: {allocators.OURS})")
    add("--seconds", type=positive(int), default=20, metavar="S",
        help="of load (default: 20)")
    add("--cpu", type=words, default=[], metavar="N",
        help="the server's processor (default: the last)")
    add("--generator", choices=tuple(load.KINDS), help="of the load")
    add("--rival", action="append", default=[], metavar="NAME=PATH",
        help="as of bench/run")
    add("--build", type=Path, metavar="DIR", default=discover.DEFAULT_BUILD,
        help="build tree (default: build/bench)")
    arguments = sys.argv[1:] if arguments is None else arguments
    place = (arguments.index("--") if "--" in arguments else len(arguments))
    options = parser.parse_args(arguments[:place])
    options.command = arguments[place + 1:]
    options.build = options.build.resolve()
    try:
        options.cpu = frozenset(map(int, options.cpu)) or None
    except ValueError:
        parser.error("--cpu wants a number")
    return options


def choose_allocator(options):
    found, _ = allocators.available(options.rival)
    there = {one.name: one for one in found
             if one.name not in allocators.FLOORS}
    if options.on not in there:
        raise Problem(f"--on {options.on}: there are {', '.join(there)}")
    return there[options.on]


def make_group(options, allocator):
    """The group of the one server, and the server."""
    discover.check_cpus(options.cpu)
    generator = load.find(options.generator)
    if generator is None:
        raise Problem(f"no load generator (Debian: {load.PACKAGES})")
    hosts, missing = webhosts.find()
    if options.server in missing:
        raise Problem(f"{options.server}: {missing[options.server]}")
    host = next(host for host in hosts if host.name == options.server)
    preload = discover.preload_library(options.build)
    if allocator.name == allocators.OURS and preload is None:
        raise Problem(f"there is no lib/libpimalloc-preload.so in "
                      f"{options.build}")
    if not runs_here(allocator, host.python):
        raise Problem(f"CPython {host.python} has no {allocator.name}")
    setting = Setting(cpus=options.cpu)
    return server.Server([host], generator, preload, setting,
                         [allocator]), host


def comma_pids(service):
    return ",".join(map(str, service.pids()))


def run_beside(options, group, service):
    """Loads the server and runs the command; (the Load, exit status)."""
    status, early = 0, False
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(group.load, service, options.seconds)
        if options.command:
            pids = comma_pids(service)
            try:
                status = subprocess.run(
                    [word.replace(PIDS, pids) for word in options.command],
                    check=False).returncode
            except OSError as error:
                raise Problem(f"cannot run the command: {error}") from None
            early = loading.done()
        loaded = loading.result()
    if early:
        print("the load ended before the command: --seconds", file=sys.stderr)
    return loaded, status


def execute(options):
    allocator = choose_allocator(options)
    group, host = make_group(options, allocator)
    with group.serving(host, allocator) as (service, answers):
        group.check(host, allocator, answers)
        group.load(service, server.WARM_SECONDS)
        urls = " ".join(f"http://{load.ADDRESS}:{service.port}{path}"
                        for path in host.paths)
        print(f"{host.name} on {allocator.name}, CPython {group.python}: "
              f"{urls}, processes {comma_pids(service)}", flush=True)
        loaded, status = run_beside(options, group, service)
        group.check_allocator(service, allocator)
    print(f"{loaded.requests / loaded.seconds:.1f} requests per second, p50 "
          f"{loaded.p50_ms:.1f} ms, p99 {loaded.p99_ms:.1f} ms")
    return status


def main(arguments=None):
    options = parse(arguments)
    child.end_on_signals()
    try:
        return execute(options)
    except Problem as problem:
        print(f"bench/serve: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
