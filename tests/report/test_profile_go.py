#!/usr/bin/env python3
"""pprof reads a profile and says what the profile says.

    test_profile_go.py PROGRAM

PROGRAM is profiles.c.  Exits with 77 (skipped) where there is no go, which builds
its pprof when it is first asked for it: that takes a minute.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import made_up

COLUMNS = {"inuse_space": "live_bytes", "alloc_objects": "total_blocks"}


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"pprof test: {what}: {found}, not {wanted}")


def top(go, *arguments):
    """{function: (of its own, with callees)} that pprof prints."""
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "PPROF_TMPDIR": arguments[-1].parent}
    done = subprocess.run([go, "tool", "pprof", "-top", "-unit=B", "-nodecount=100000",
                           "-nodefraction=0", *arguments], env=env, check=True, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out = {}
    for line in done.stdout.split("\n"):
        match = re.fullmatch(r" *(-?\d+)B? +\S+% +\S+% +(-?\d+)B? +\S+%  (.*)", line)
        if match:
            out[match.group(3)] = int(match.group(1)), int(match.group(2))
    return out


def sums(profile, figure, sign=1, out=None):
    """The same of a profile; pprof takes lines of one function together."""
    out = {} if out is None else out
    for stack in profile.stacks:
        frames = [name for _, name, _ in profile.shown(stack)]
        n = sign * stack[figure]
        for i, name in enumerate(dict.fromkeys(frames)):
            own, full = out.get(name, (0, 0))
            out[name] = own + n * (i == 0), full + n
    return out


def named_by_file(profile):
    """Functions of the same name in several files are several to pprof."""
    for stack in profile.stacks:
        stack["frames"] = [(file, function + b"@" + file, line)
                           for file, function, line in stack["frames"]]
    return profile


def main():
    program, go = sys.argv[1], shutil.which("go")
    if go is None:
        print("no go here (Debian package golang-go)", file=sys.stderr)
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        now, then = Path(folder) / "now.pb.gz", Path(folder) / "then.pb.gz"
        for make in (made_up.small, made_up.deep, made_up.many):
            profile = named_by_file(make())
            expect(made_up.save(program, "pprof", now, profile), 0, "saved")
            for column, figure in COLUMNS.items():
                wanted = {name: pair for name, pair in sums(profile, figure).items() if pair[1]}
                found = top(go, f"-sample_index={column}", now)
                expect({n: p for n, p in found.items() if p[1]}, wanted, f"{make.__name__} {column}")
        now_profile, then_profile = made_up.small(), made_up.small_earlier()
        expect(made_up.save(program, "pprof", now, now_profile), 0, "saved")
        expect(made_up.save(program, "pprof", then, then_profile), 0, "saved")
        wanted = sums(now_profile, "live_bytes", 1, sums(then_profile, "live_bytes", -1))
        expect(top(go, f"-diff_base={then}", now), {n: p for n, p in wanted.items() if any(p)},
               "the difference")
    print("pprof test: passed")


if __name__ == "__main__":
    main()
