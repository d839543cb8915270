"""The command line of bench/run."""

import argparse
import re
from pathlib import Path

from . import load
from .discover import DEFAULT_BUILD, ROOT
from .groups import NAMES
from .problem import Problem

QUICK_ALLOCATORS = "pimalloc,pymalloc,mimalloc,floor,ordered"
QUICK_WITHOUT = ("server",)

DESCRIPTION = """\
Measure pimalloc against CPython's allocators and against general ones.

Every program runs on every allocator, directly after one another, round after
round; ratios are of the runs of one round.  The first round is thrown away.

  micro            allocation patterns, embedded (bench/micro)
  macro/stock      Python programs under a python3 as it is, with preload
  macro/embedded1  the same programs in an own-GIL interpreter of a host
  macro/embedded2  in two at once; times are those of the clock on the wall
  aged/stock       the same programs in a process that has imported a lot and
  aged/embedded1   repeats the work 24 times: early time, late time, and slope
  bursts           a service with bursts of requests and idle times, with
                   preload: time of a request, and memory over time
  server           mod_wsgi, uWSGI and gunicorn under a load generator, with
                   preload; the server on one processor, the load on another
"""

EPILOG = """\
servers: requests per second, the time of the slowest hundredth of the answers,
and memory: what all processes of a server hold, shared pages counted once (PSS,
the most seen under load).

memory: the peak of the process, and what is resident after the work, when the
program has done a little for a second (--rest).

written into --out:
  results.json     every run, in Google Benchmark's format
  table.txt, .md   all rows; geometric means with intervals
  *.svg            charts against pymalloc: time, memory, memory after the work;
                   lines over time: *-repetitions.svg, bursts-resident.svg

a busy machine: /proc/stat is read before and during each round; if others used
the processors, a line that begins with BUSY MACHINE says so, in the output, the
tables and results.json.

intervals (95 %):
  of a row         bounds the median of its rounds by two of them (order
                   statistics); with fewer than six rounds, their whole range
  of a geomean     bootstrap: whole rounds are drawn, 2000 times, with a fixed
                   seed; percentiles expanded for the number of rounds

allocators: pimalloc, pymalloc, mimalloc (CPython's), glibc, and jemalloc,
tcmalloc, rpmalloc, libmimalloc (the library) where installed; without any
check, in patterns and in one embedded interpreter: floor, a list, last in, first
out, and ordered, which hands blocks out by address.

exit status: 0; 1 something failed, or a target was missed (--targets); 2 bad
usage.
"""


def positive(kind):
    def parse(value):
        number = kind(value)
        if number <= 0:
            raise argparse.ArgumentTypeError(f"{value} is not above 0")
        return number
    return parse


def not_negative(value):
    number = float(value)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return number


def words(value):
    return [word for word in value.split(",") if word]


def add_places(add):
    """Where things are found and put, and what is done with them."""
    add("--python", metavar="PYTHON",
        help="the stock Python: a path, or a version such as 3.14 (default: "
        "3.13 if there is one, else the newest)")
    add("--embedded", metavar="VERSION",
        help="the Python of the hosts (default: 3.14 if there is one, else "
        "the newest)")
    add("--cpu", type=words, metavar="N[,..]", default=[],
        help="processors for what runs one thread; parallel rows get all, "
        "servers the last of these")
    add("--generator", choices=tuple(load.KINDS),
        help="of the load on servers (default: wrk, or ab if it is not there)")
    add("--programs", type=Path, metavar="DIR",
        default=ROOT / "bench/macro/programs",
        help="folder of the Python programs (default: bench/macro/programs)")
    add("--build", type=Path, default=DEFAULT_BUILD, metavar="DIR",
        help="build tree (default: build/bench)")
    add("--make", action="store_true",
        help="build it first if a host is missing, without asking")
    add("--out", type=Path, metavar="DIR",
        help="where the results go (default: build/bench/results)")
    add("--commit", metavar="TEXT",
        help="what the sources are, for the result file (default: git "
        "describe)")
    add("--targets", action="store_true",
        help="say which targets are reached, and exit with 1 if one is not")
    add("--list", action="store_true",
        help="say what would be run, and on what; run nothing")


def make_parser():
    parser = argparse.ArgumentParser(
        prog="bench/run", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true",
        help="under three minutes on two processors: short programs, "
        f"{QUICK_ALLOCATORS} only, as many rounds as fit")
    add("--rounds", type=positive(int), metavar="N",
        help="rounds that count (default: 10)")
    add("--seconds", type=positive(float), metavar="S",
        help="time for everything; fewer rounds if they do not fit, but at "
        "least one (default: no limit; 165 with --quick)")
    add("--scale", type=positive(float), metavar="F",
        help="loops of the programs, requests and idle times of bursts, and "
        "seconds of a server's load, times this (default: 1; 0.12 with "
        "--quick); aged programs always repeat 24 times")
    add("--rest", type=not_negative, metavar="S",
        help="seconds from the end of a program to the last look at its memory "
        "(default: 1; 0.05 with --quick)")
    add("--min-time", type=positive(float), metavar="S",
        help="seconds for a row of micro (default: 0.1; 0.01 with --quick)")
    add("--only", type=words, metavar="GROUP[,..]", default=[],
        help="these groups; macro and aged mean all of theirs (default: all; "
        "with --quick all but server, and three programs of aged)")
    add("--program", type=re.compile, metavar="PATTERN",
        help="programs whose GROUP/NAME has a match for this regular "
        "expression")
    add("--allocators", type=words, metavar="LIST",
        help="beside pimalloc and pymalloc (default: all that are found; "
        "in aged and server mimalloc and the floors)")
    add("--rival", action="append", default=[], metavar="NAME=PATH",
        help="the library of a rival, or of one more by any name; another "
        "build's libpimalloc-preload.so for stock and server")
    add_places(add)
    return parser


def chosen_groups(names, quick=False):
    """--only as names of groups, in their order."""
    if not names:
        return [name for name in NAMES if name not in QUICK_WITHOUT
                or not quick]
    chosen = set()
    for name in names:
        fitting = [group for group in NAMES
                   if name in (group, group.split("/")[0],
                               group.removeprefix("macro/"))]
        if not fitting:
            raise Problem(f"--only {name}: there is no such group; there are "
                          + ", ".join(NAMES))
        chosen.update(fitting)
    return [group for group in NAMES if group in chosen]


def parse(arguments=None):
    """The options, all defaults settled."""
    parser = make_parser()
    try:
        options = parser.parse_args(arguments)
    except re.error as error:
        parser.error(f"--program: not a regular expression: {error}")
    quick = options.quick
    options.rounds = options.rounds or (100 if quick and not options.seconds
                                        else 10)
    if quick and not options.seconds:
        options.seconds = 165.0
    options.scale = options.scale or (0.12 if quick else 1.0)
    if options.rest is None:
        options.rest = 0.05 if quick else 1.0
    options.min_time = options.min_time or (0.01 if quick else 0.1)
    if options.allocators is None and quick:
        options.allocators = words(QUICK_ALLOCATORS)
    options.build = options.build.resolve()
    options.programs = options.programs.resolve()
    options.out = (options.out or options.build / "results").resolve()
    try:
        options.named_groups = bool(options.only)
        options.only = chosen_groups(options.only, quick)
        options.cpu = frozenset(int(cpu) for cpu in options.cpu) or None
    except Problem as problem:
        parser.error(str(problem))
    except ValueError:
        parser.error("--cpu wants numbers, such as 1 or 0,1")
    return options
