#!/usr/bin/env python3
"""Run real programs that contain Python, with and without pimalloc.

Every file case_*.py beside this one plays one program: play(bench) makes the
program run work.answer() in its Python, and returns (version of the program,
what its Python answered, as JSON).  A case passes if

  - the answer is right, and the same with and without pimalloc,
  - with it, pimalloc's statistics tell of more than MANY blocks at a time in
    the obj domain of interpreter 0 of at least one process,
  - no process and no file is left.

Programs that are not installed are skipped.  Everything runs as `nobody` if
this is started by root, below one temporary folder; daemons listen on
127.0.0.1 or on a socket in that folder.

Exit status: 0 all that ran passed; 1 one failed; 2 bad usage; 77 nothing ran.
"""

import argparse
import ctypes
import importlib
import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import work
from bench import PATIENCE, Bench, Failed, Skip

HERE = Path(__file__).resolve().parent
MANY = 10_000
OLDEST = (3, 12)
PR_SET_CHILD_SUBREAPER = 36


def obj_of_main(report):
    """Peak of obj in interpreter 0, as (blocks, bytes), of one statistics file."""
    peaks = [i["domains"]["obj"] for i in report["interpreters"] if i["id"] == 0]
    return max(((obj["peak_blocks"], obj["peak_bytes"]) for obj in peaks),
               default=(0, 0))


def most_served(folder):
    """(blocks, bytes) of the best, and the number, of the statistics files."""
    found = [obj_of_main(json.loads(path.read_text()))
             for path in folder.glob("*.json")]
    return (*max(found, default=(0, 0)), len(found))


# --- processes ----------------------------------------------------------------

def children():
    """Children of this process, to which all orphans of the cases are given."""
    tasks = Path("/proc/self/task")
    return [int(pid) for task in tasks.iterdir()
            for pid in (task / "children").read_text().split()]


def reap():
    """Gives orphans a little time to end, then ends them; the names of those."""
    end = time.monotonic() + PATIENCE
    while children() and time.monotonic() < end:
        while children() and os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass
        time.sleep(0.05)
    names = []
    for pid in children():
        names.append(Path(f"/proc/{pid}/comm").read_text().strip())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return names


def become_reaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def drop_privileges(folder):
    """Root becomes nobody: databases and servers want that, or do it."""
    if os.geteuid() != 0:
        return
    nobody = pwd.getpwnam("nobody")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


# --- the cases ----------------------------------------------------------------

def play_once(case, top, served, options):
    """(version, answer, statistics) of one run; everything it leaves is gone."""
    name = f"{case.NAME}-{'served' if served else 'plain'}"
    folder = top / name
    statistics = folder / "statistics"
    statistics.mkdir(parents=True)
    variables = {}
    if served:
        variables = {"PIMALLOC_STATS": f"json:{statistics}/%p.json",
                     "PIMALLOC_VERBOSE": "1"}
        variables.update(pair.split("=", 1) for pair in options.set)
        if options.launcher is None:
            variables["LD_PRELOAD"] = str(options.library)
    prefix = [str(options.launcher), "--"] if served and options.launcher else []
    bench = Bench(folder, top / "modules", statistics if served else None,
                  prefix, variables)
    try:
        version, text = case.play(bench)
        result = json.loads(text)
    except (Failed, ValueError, OSError) as error:
        log = bench.log.read_text(errors="replace") if bench.log.exists() else ""
        raise Failed(f"{name}: {error!r}\n{log[-6000:]}") from error
    finally:
        left = reap()
    if left:
        raise Failed(f"{name}: left running: {', '.join(left)}")
    if options.verbose:
        print(bench.log.read_text(errors="replace"))
    served_most = most_served(statistics)
    shutil.rmtree(folder)
    return version, result, served_most


def require(condition, text):
    if not condition:
        raise Failed(text)


def play(case, top, options):
    """Both runs of a case; its line of the table."""
    version, plain, _ = play_once(case, top, False, options)
    right = work.answer()["digest"]
    require(plain["digest"] == right, f"the answer is not {right}: {plain}")
    python = plain["python"]
    if options.plain:
        return version, python, None
    _, served, figures = play_once(case, top, True, options)
    require(served == plain, f"plain {plain}, with pimalloc {served}")
    if tuple(map(int, python.split(".")[:2])) >= OLDEST:
        require(figures[0] > MANY, f"{figures[0]} blocks served at most; "
                f"{figures[2]} processes reported")
    else: # it must run on as if nothing were there
        require(figures[0] == 0, f"Python {python} was served")
    return version, python, figures


def load_cases(names):
    found = sorted(path.stem for path in HERE.glob("case_*.py"))
    cases = [importlib.import_module(stem) for stem in found]
    unknown = set(names) - {case.NAME for case in cases}
    if unknown:
        raise SystemExit(f"run.py: no case {', '.join(sorted(unknown))}")
    return [case for case in cases if not names or case.NAME in names]


def play_all(cases, top, options):
    """The numbers of cases that passed, that failed, that could not run."""
    passed = failed = skipped = 0
    print(f"{'case':16}{'program':44}{'Python':9}{'entry':9}{'result':8}"
          f"{'peak blocks':>12}{'peak MiB':>10}{'processes':>11}")
    for case in cases:
        start = time.monotonic()
        try:
            version, python, figures = play(case, top, options)
        except Skip as missing:
            skipped += 1
            print(f"{case.NAME:16}SKIP: needs {missing}", flush=True)
            continue
        except Failed as error:
            failed += 1
            print(f"{case.NAME:16}FAILED: {error}", flush=True)
            continue
        passed += 1
        result = "ok" if figures is None or figures[0] > 0 else "as is"
        print(f"{case.NAME:16}{version[:43]:44}{python:9}{case.ENTRY:9}{result:8}",
              end="")
        if figures is not None:
            print(f"{figures[0]:12,}{figures[1] / 2**20:10.1f}{figures[2]:11}",
                  end="")
        print(f"   {time.monotonic() - start:.0f} s", flush=True)
    return passed, failed, skipped


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", type=Path, help="pimalloc-run")
    parser.add_argument("--library", type=Path, help="libpimalloc-preload.so, "
                        "to be preloaded without pimalloc-run")
    parser.add_argument("--plain", action="store_true",
                        help="only without pimalloc")
    parser.add_argument("--set", action="append", default=[],
                        metavar="NAME=VALUE", help="one more variable for "
                        "the runs with pimalloc; may be repeated")
    parser.add_argument("--all", action="store_true",
                        help="a program that is not installed is a failure")
    parser.add_argument("--verbose", action="store_true",
                        help="print the log of each run")
    parser.add_argument("names", nargs="*", metavar="CASE",
                        help="only these cases (default: all)")
    options = parser.parse_args()
    chosen = [options.launcher, options.library, options.plain or None]
    if chosen.count(None) != 2:
        parser.error("one of --launcher, --library, --plain is wanted")
    for name in ("launcher", "library"):
        path = getattr(options, name)
        if path is not None:
            setattr(options, name, path.resolve())
    return options


def main():
    options = parse_arguments()
    cases = load_cases(options.names)
    become_reaper()
    for number in (signal.SIGTERM, signal.SIGHUP):  # clean up then, too
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    # /tmp, and not TMPDIR: the names of sockets have little room.
    top = Path(tempfile.mkdtemp(prefix="pimalloc-hosts-", dir="/tmp"))
    try:
        (top / "modules").mkdir()
        shutil.copy(HERE / "work.py", top / "modules")
        drop_privileges(top)
        for path in (options.launcher, options.library):
            if path is not None and not os.access(path, os.R_OK):
                print(f"SKIP: user {os.geteuid()} cannot read {path}")
                sys.exit(77)
        passed, failed, skipped = play_all(cases, top, options)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, "
          f"{skipped} skipped")
    if failed or (skipped and options.all):
        sys.exit(1)
    sys.exit(0 if passed else 77)


if __name__ == "__main__":
    main()
