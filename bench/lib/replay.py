"""bench/replay: recordings, played on each allocator, compared.

    a.record.xz --unpacked--> bench_player_<python> --JSON--> table, chart
                              one process for each allocator and round
"""

import argparse
import json
import lzma
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from . import allocators, child, discover, lines, options, table
from .allocators import BASE, FLOORS, OURS
from .groups import expect_allocator, host_words, parse, runs_here
from .problem import Problem
from .stats import median_interval

DESCRIPTION = """\
Play recordings of programs (PIMALLOC_RECORD, pimalloc-run --record) on pimalloc
and other allocators.

The requests of a recording go to each allocator in the same order, through the
tables of a Python that runs on it, by one thread, in one interpreter.  Each
block is written once.  So time is that of the allocator and of the memory that
it hands out, and no Python runs.

  time      processor time of all requests, the median of the rounds
  peak      resident memory at most, above what it was before the first request
  asked     the same of what the program asked for: less is not possible
  spread    resident to asked, the mean over time where at least a tenth of the
            most was live: what fragmentation and kept memory cost
  end       resident after the last request
"""

EPILOG = """\
written into --out:
  results.json     what each run printed
  table.txt        the table
  NAME.svg         resident memory over time, a chart for each recording

A recording may be packed (.xz).  One that was cut off by a crash, or is damaged,
is played as far as it is whole, and it is said what is missing.

bench/traces has recordings of three programs of bench/macro/programs.

exit status: 0; 1 something failed; 2 bad usage.
"""

NAME = "bench/replay"
ASKED = "asked for"             # as a line of a chart
LOOK = lines.Look(1, 300, "share of the requests, per cent")
LIVE_SHARE = 0.1                # of the most, below which no spread is taken
PACKED = ".xz"


def make_parser():
    parser = argparse.ArgumentParser(
        prog=NAME, description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="recordings")
    add("--rounds", type=options.positive(int), default=3, metavar="N",
        help="how often each is played on each (default: 3)")
    add("--allocators", "--allocator", type=options.words, metavar="LIST",
        help="beside pimalloc and pymalloc (default: all that are found but "
        "the floors)")
    add("--rival", action="append", default=[], metavar="NAME=PATH",
        help="the library of a rival, or of one more by any name")
    add("--embedded", metavar="VERSION",
        help="the Python around it (default: 3.14 if it is there)")
    add("--cpu", type=options.words, metavar="N[,..]", default=[],
        help="processors to run on")
    add("--build", type=Path, default=discover.DEFAULT_BUILD, metavar="DIR",
        help="build tree (default: build/bench)")
    add("--out", type=Path, metavar="DIR",
        help="where the results go (default: build/bench/replay)")
    return parser


# --- running ------------------------------------------------------------------

@contextmanager
def unpacked(path):
    """The recording as the player reads it."""
    if not path.is_file():
        raise Problem(f"{path}: there is no such file")
    if path.suffix != PACKED:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pimalloc-replay-") as folder:
        plain = Path(folder) / path.stem
        try:
            with lzma.open(path) as source, plain.open("wb") as out:
                shutil.copyfileobj(source, out)
        except (lzma.LZMAError, EOFError) as error:
            raise Problem(f"{path}: it cannot be unpacked: {error}") from None
        yield plain


def name_of(path):
    """How its rows and chart are called."""
    return path.name.removesuffix(PACKED).removesuffix(".record")


def find_player(chosen):
    hosts = discover.find_hosts(chosen.build)
    player = discover.choose_host(hosts, "player", chosen.embedded)
    if player is None:
        raise Problem(
            f"there is no bench_player in {chosen.build}/bin"
            + (f" with Python {chosen.embedded}" if chosen.embedded else "")
            + "; build it: cmake --workflow --preset bench")
    return player


def chosen_allocators(chosen, player):
    found, _ = allocators.available(chosen.rival)
    found = (allocators.choose(chosen.allocators, found)
             if chosen.allocators is not None
             else [one for one in found if one.name not in FLOORS])
    return [one for one in found
            if runs_here(one, player.version) and not one.is_other_build]


def play(player, file, allocator, cpus):
    command = [player.path, *host_words(allocator), file]
    env = child.environment(allocator, allocator.library)
    answer = parse(child.run(command, env, cpus), command)
    expect_allocator(answer["allocator"], allocator)
    return answer


def play_all(chosen, player, found, say):
    """{file: {allocator: [answer of each round]}}."""
    cpus = frozenset(int(cpu) for cpu in chosen.cpu) or None
    discover.check_cpus(cpus)
    runs = {}
    for path in chosen.files:
        of_file = runs[path] = {one.name: [] for one in found}
        with unpacked(path) as file:
            for number in range(chosen.rounds):
                for one in found:
                    say(f"{name_of(path)}, round {number + 1}: {one.name}")
                    of_file[one.name].append(play(player, file, one, cpus))
    return runs


# --- figures ------------------------------------------------------------------

class Figures(NamedTuple):
    """Of one recording on one allocator; memory in MiB."""
    seconds: float
    per_step: float
    to_base: float      # its time to pymalloc's; None: there is none
    peak: float
    spread: float
    end: float


def spread_of(answer):
    least = LIVE_SHARE * answer["peak_live_bytes"]
    ratios = [resident * 1024 / live for _, live, resident in answer["samples"]
              if live > least]
    return fmean(ratios) if ratios else 1.0


def figures_of(answers, base):
    seconds = median(answer["cpu_s"] for answer in answers)
    ratios = [one["cpu_s"] / other["cpu_s"]
              for one, other in zip(answers, base)]
    return Figures(
        seconds, seconds / answers[0]["steps"],
        median_interval(ratios).middle if ratios else None,
        median(answer["peak_kb"] for answer in answers) / 1024,
        median(spread_of(answer) for answer in answers),
        median(answer["samples"][-1][2] for answer in answers) / 1024)


def rows_of(of_file):
    first = of_file[OURS][0]
    rows = [["", "time", "per request", f"to {BASE}", "peak MiB", "to asked",
             "spread", "end MiB"]]
    asked = first["peak_live_bytes"] / 2 ** 20
    rows.append([ASKED, "", "", "", f"{asked:.1f}", "", "",
                 f"{first['end_live_bytes'] / 2 ** 20:.1f}"])
    for name, answers in of_file.items():
        one = figures_of(answers, of_file.get(BASE, []))
        rows.append([name, table.time_text(one.seconds),
                     table.time_text(one.per_step),
                     f"{one.to_base:.2f}" if one.to_base else "-",
                     f"{one.peak:.1f}", f"{one.peak / asked:.2f}",
                     f"{one.spread:.2f}", f"{one.end:.1f}"])
    return rows


def facts_of(path, answer):
    count = answer["allocs"] + answer["resizes"] + answer["frees"]
    text = (f"{name_of(path)}: {count:,} requests ({answer['allocs']:,} blocks, "
            f"{answer['resizes']:,} resizes), {answer['interpreters']} "
            f"interpreters, {answer['total_bytes'] / 2 ** 20:.1f} MiB in all; "
            f"Python {answer['python']}")
    return [text, *(f"{path.name}: {note}" for note in answer["notes"])]


def document(runs):
    parts = []
    for path, of_file in runs.items():
        parts.append(facts_of(path, of_file[OURS][0]))
        parts.append(table.layout(rows_of(of_file)))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def draw(path, of_file):
    """The chart of a recording; of several rounds the last one."""
    last = {name: answers[-1] for name, answers in of_file.items()}
    ours = last[OURS]
    xs = [100 * step / ours["steps"] for step, _, _ in ours["samples"]]
    of_line = {ASKED: [live / 2 ** 20 for _, live, _ in ours["samples"]]}
    for name, answer in last.items():
        of_line[name] = [kb / 1024 for _, _, kb in answer["samples"]]
    panel = lines.Panel("resident, above the begin", "MiB", xs, of_line,
                        tuple(range(0, 101, 10)))
    return lines.draw(f"Memory while {name_of(path)} is played",
                      facts_of(path, ours)[0], [panel], [*last, ASKED], LOOK)


# --- the whole ----------------------------------------------------------------

def execute(chosen):
    player = find_player(chosen)
    found = chosen_allocators(chosen, player)

    def say(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    try:
        runs = play_all(chosen, player, found, say)
    finally:
        say("")
    text = document(runs)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "table.txt").write_text(text, encoding="utf-8")
    (chosen.out / "results.json").write_text(
        json.dumps({path.name: of_file for path, of_file in runs.items()}),
        encoding="utf-8")
    for path, of_file in runs.items():
        (chosen.out / f"{name_of(path)}.svg").write_text(
            draw(path, of_file), encoding="utf-8")
    print(text, end="")
    print(f"\nwritten into {chosen.out}")
    return 0


def main(arguments=None):
    chosen = make_parser().parse_args(arguments)
    chosen.build = chosen.build.resolve()
    chosen.out = (chosen.out or chosen.build / "replay").resolve()
    child.end_on_signals()
    try:
        return execute(chosen)
    except Problem as problem:
        print(f"{NAME}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{NAME}: interrupted", file=sys.stderr)
        return 130
