"""bench/run: from the command line to the files with the figures."""

import os
import shlex
import shutil
import subprocess
import sys

from . import (aged, allocators, bursts, busy, chart, child, discover, groups,
               load, machine, options, ratios, results, schedule, server,
               server_table, table, targets, webhosts)
from .problem import Problem

NEED_NO_HOST = {"macro/stock", aged.STOCK, bursts.NAME, "server"}
FEWER_ALLOCATORS = {aged.STOCK, aged.EMBEDDED, "server"}  # they take long
WORKFLOW = ["cmake", "--workflow", "--preset", "bench"]


# --- progress -----------------------------------------------------------------

class Progress:
    """One line that is written over; on a file or pipe, a line a minute."""

    def __init__(self, stream, clock=None):
        self.stream = stream
        self.live = stream.isatty()
        self.clock = clock or schedule.time.monotonic
        self.said = self.clock()

    def __call__(self, text):
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{text[:width]}", end="", file=self.stream,
                  flush=True)
        elif text and self.clock() - self.said >= 60:
            self.said = self.clock()
            print(text, file=self.stream, flush=True)


# --- what there is to run -----------------------------------------------------

def build_hosts(chosen):
    """Builds if that was asked for, or is answered on a terminal."""
    shown = shlex.join(WORKFLOW)
    if chosen.build != discover.DEFAULT_BUILD:
        raise Problem(f"there are no benchmark hosts in {chosen.build}/bin; "
                      "build the preset bench there")
    if not chosen.make:
        if not sys.stdin.isatty():
            raise Problem("the benchmarks are not built: run\n"
                          f"  {shown}\nin {discover.ROOT} or add --make")
        answer = input("The benchmarks are not built.  "
                       f"Build them now ({shown})? [Y/n] ")
        if answer.strip().lower() not in ("", "y", "yes"):
            raise Problem(f"nothing is built: {shown}")
    if subprocess.run(WORKFLOW, cwd=discover.ROOT, check=False).returncode:
        raise Problem(f"{shown} failed: see above")


def find_hosts(chosen):
    """{kind: Host or None} for the wanted Python."""
    hosts = discover.find_hosts(chosen.build)
    preload = discover.preload_library(chosen.build)
    if not preload or (not hosts and set(chosen.only) - NEED_NO_HOST):
        build_hosts(chosen)
        hosts = discover.find_hosts(chosen.build)
    found = {kind: discover.choose_host(hosts, kind, chosen.embedded)
             for kind in ("micro", "macro")}
    if chosen.embedded and None in found.values():
        there = ", ".join(sorted({host.version for host in hosts})) or "none"
        raise Problem(f"--embedded {chosen.embedded}: no host with that "
                      f"Python in {chosen.build}/bin; there are {there}")
    return found


def make_servers(chosen, setting, found):
    """(The group or None, why servers cannot be run: {name: text})."""
    generator = load.find(chosen.generator)
    if generator is None:
        return None, {"server": "no load generator (Debian: "
                                f"{load.PACKAGES})"}
    hosts, missing = webhosts.find()
    missing = {f"server/{name}": why for name, why in missing.items()}
    if not hosts:
        return None, {"server": "no server; " + "; ".join(
            f"{name}: {why}" for name, why in missing.items())}
    preload = discover.preload_library(chosen.build)
    return server.Server(hosts, generator, preload, setting, found), missing


def allocators_of(chosen, found, group):
    """Those that a group runs on, unless the user has chosen."""
    if chosen.allocators is not None or group not in FEWER_ALLOCATORS:
        return found
    return [one for one in found if one.name in
            allocators.MAIN + allocators.FLOORS or one.is_other_build]


def make_group(chosen, setting, name, found, hosts):
    """(A group or None, why it or parts of it cannot be run: {name: text})."""
    if name == "server":
        return make_servers(chosen, setting, found)
    if name in ("macro/stock", aged.STOCK, bursts.NAME):
        python = discover.find_python(chosen.python)
        if python is None:
            return None, {name: "no release build of CPython 3.12 to 3.15 here"}
        arguments = python, discover.preload_library(chosen.build), setting
        if name == bursts.NAME:
            return bursts.Bursts(*arguments, found), {}
        kind = aged.AgedStock if name == aged.STOCK else groups.Stock
        return kind(*arguments, found, chosen.programs), {}
    host = hosts["micro" if name == "micro" else "macro"]
    if host is None:
        return None, {name: "its host is not built"}
    if name == "micro":
        return groups.Micro(host, setting, found), {}
    if name == aged.EMBEDDED:
        return aged.AgedEmbedded(host, setting, found, chosen.programs), {}
    return groups.Embedded(host, int(name[-1]), setting, found,
                           chosen.programs), {}


def make_groups(chosen, found):
    """The wanted groups that can be run, and the reasons why others cannot."""
    setting = groups.Setting(chosen.scale, chosen.min_time, chosen.cpu,
                             chosen.rest)
    hosts = find_hosts(chosen)
    made, missing, absent = [], {}, {}
    for name in chosen.only:
        group, why = make_group(chosen, setting, name,
                                allocators_of(chosen, found, name), hosts)
        absent.update(why)
        if group is None:
            missing[name] = absent.pop(name)
        else:
            made.append(group)
    if missing and (chosen.named_groups or not made):
        name, why = next(iter(missing.items()))
        raise Problem(f"{name} cannot be run: {why}")
    return made, {**missing, **absent}


# --- what is said about it ----------------------------------------------------

TITLES = {"micro": "allocation patterns, embedded",
          "macro/stock": "programs under stock python3",
          "macro/embedded1": "programs, embedded",
          "macro/embedded2": "programs, embedded, two interpreters at once",
          aged.STOCK: "aged processes under stock python3",
          aged.EMBEDDED: "aged processes, embedded",
          bursts.NAME: "a service with bursts of requests",
          server.REQUESTS: "web servers under load",
          server.P99: "web servers, slowest hundredth of the answers"}


def python_text(python):
    build = f" ({python['build']} build)" if "build" in python else ""
    return f"CPython {python['version']}{build}"


def describe_pythons(made):
    """{group: what it runs on}."""
    found = {}
    for group in made:
        answer = (discover.ask_python(group.executable)
                  if hasattr(group, "executable")
                  else discover.same_python(group.python))
        found[group.name] = answer or {"version": group.python}
    return found


def shown_command(words):
    """As a user would type it: without what scripts add."""
    kept, drop = [], False
    for word in words:
        if not drop and word.split("=")[0] not in ("--commit", "--out"):
            kept.append(word)
            continue
        drop = not drop and "=" not in word
    return shlex.join(["bench/run", *kept])


def make_context(chosen, made, found, missing, plan):
    context = machine.context(discover.ROOT)
    if chosen.commit:
        context["commit"] = chosen.commit
    context.update({
        "executable": "bench/run",
        "command": shown_command(sys.argv[1:]),
        "rounds": plan.done_rounds, "scale": chosen.scale,
        "min_time": chosen.min_time,
        "cpus": sorted(chosen.cpu or os.sched_getaffinity(0)),
        "pythons": describe_pythons(made),
        "allocators": {one.name: str(one.library.resolve()
                                     if one.library else "")
                       for one in found},
        "busy": busy.saved(plan.seen), "rest": chosen.rest,
        "skipped": {**missing, **plan.skipped},
        "notes": [note for group in made for note in group.notes()],
        "seconds": round(plan.elapsed())})
    return context


def fact_lines(context):
    """A few lines on top of the tables."""
    pythons = "; ".join(f"{group}: {python_text(python)}"
                        for group, python in context["pythons"].items())
    return [f"{context['command']} (sources: "
            f"{context.get('commit', 'unknown')})",
            f"{context['cpu_model']}, {context['num_cpus']} processors, "
            f"{context['memory_mib']:,} MiB, {context['kernel']}, "
            f"{context['distribution']}, {context['libc']}",
            f"{context['date']}, {context['rounds']} rounds in "
            f"{schedule.clock_text(context['seconds'])}; {pythons}"]


def chart_facts(context, collated):
    """{group: the line under a chart's title}."""
    rounds = context["rounds"]
    where = f"{context['cpu_model']}, {context['distribution']}"
    how = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    return {group: python_text(context["pythons"][results.ran_by(group)])
            + f", {where}; {how}" for group in collated}


def note_lines(context, rows):
    """What a reader of the figures must know."""
    said = context["busy"]["said"]
    lines = [*([said] if said else []), *context["notes"],
             *table.skipped_lines(context["skipped"]),
             *table.share_lines(rows)]
    shared = sum(map(results.disturbed, rows))
    if shared:
        lines.append(f"{shared} micro runs of two threads had to share a "
                     "processor with something else and are left out")
    return lines


def own_tables(rows, ranked):
    """Figures in their own units: (what they are, cells of a table)."""
    tables = [("Servers; in brackets how each stands to pymalloc in the same "
               "round.", 2, server_table.cells(rows, ranked)),
              ("A service with bursts of requests; in brackets as before.", 1,
               bursts.cells(rows, ranked))]
    tables += [("Aged processes: early and late time of a repetition in ms, "
                "and how much longer the 24th takes than the 2nd.", 1, cells)
               for cells in aged.cells(rows, ranked).values()]
    return [one for one in tables if one[-1]]


def write_all(chosen, context, rows):
    """All files of a run; returns the summaries for the terminal."""
    ranked = list(context["allocators"])
    collated = results.collate(rows, ranked)
    summed = ratios.summaries(collated)
    for path in chosen.out.glob("*.svg"):
        path.unlink()  # of a run with other groups
    results.write(chosen.out / "results.json", context, rows)
    for name, markdown in (("table.txt", False), ("table.md", True)):
        (chosen.out / name).write_text(table.document(
            collated, summed, fact_lines(context), note_lines(context, rows),
            markdown, own_tables(rows, ranked)), encoding="utf-8")
    facts = chart_facts(context, collated)
    drawn = {**chart.draw(collated, ranked, TITLES, facts, {bursts.NAME}),
             **aged.draw(rows, ranked, TITLES, facts),
             **bursts.draw(rows, ranked, TITLES, facts)}
    for name, svg in drawn.items():
        (chosen.out / name).write_text(svg, encoding="utf-8")
    return collated, summed


def say_plan(made, jobs, missing, absent):
    for group in made:
        count = sum(job.group is group for job in jobs)
        names = " ".join(one.name for one in group.allocators)
        print(f"{group.name}: {count} programs, CPython {group.python}, on "
              f"{names}")
    for name, why in missing.items():
        print(f"{name}: not run, {why}")
    if absent:
        print(f"not installed: {', '.join(absent)} (--rival NAME=PATH names "
              "a library)")
    sys.stdout.flush()


def say_results(chosen, plan, context, collated, summed):
    for line in note_lines(context, plan.rows):
        print(line)
    print(f"{plan.done_rounds} rounds in "
          f"{schedule.clock_text(plan.elapsed())}; time: above 1 pimalloc is "
          "faster; memory: below 1 it needs less")
    print("\n".join(table.geomean_lines(summed)))
    for heading, left, cells in own_tables(plan.rows,
                                           list(context["allocators"])):
        print("\n".join([heading, *table.layout(cells, left=left)]))
    print(f"written: {chosen.out}")
    if not chosen.targets:
        return 0
    verdicts = targets.judge(collated, summed)
    print("\n".join(table.target_lines(verdicts)))
    return 0 if verdicts and all(one.reached for one in verdicts) else 1


def execute(chosen):
    discover.check_cpus(chosen.cpu)
    found, absent = allocators.available(chosen.rival)
    if chosen.allocators is not None:
        found, absent = allocators.choose(chosen.allocators, found), []
    made, missing = make_groups(chosen, found)
    jobs = schedule.jobs_of(made, chosen.program)
    if chosen.quick and not chosen.program:
        jobs = [job for job in jobs if not isinstance(job.group, aged.Aged)
                or job.program in aged.QUICK]
    if not jobs:
        raise Problem(f"--program {chosen.program.pattern}: no program has a "
                      "match (--list shows what there is)")
    say_plan(made, jobs, missing, absent)
    if chosen.list:
        print("\n".join(job.title for job in jobs))
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    progress = Progress(sys.stderr)
    plan = schedule.Schedule(jobs, chosen.rounds, chosen.seconds, progress)
    try:
        rows = plan.run()
    finally:
        progress("")
    if not rows:
        raise Problem("nothing was measured: every program was passed over")
    context = make_context(chosen, made, found, missing, plan)
    return say_results(chosen, plan, context,
                       *write_all(chosen, context, rows))


def main(arguments=None):
    chosen = options.parse(arguments)
    child.end_on_signals()
    try:
        return execute(chosen)
    except Problem as problem:
        print(f"bench/run: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench/run: interrupted before the first round was complete",
              file=sys.stderr)
        return 130
