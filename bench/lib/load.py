"""Load generators: wrk, or ab where there is no wrk.

Both keep a number of requests under way and send the next one when an answer is
there (a closed loop): the server is always busy, and the time of an answer is
mostly that of waiting for its turn.

A request that fails makes the run an error: a server that refuses is fast.
"""

import csv
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from . import child
from .problem import Problem

CONNECTIONS = 8
PATIENCE = 60              # seconds beyond the load's own
ADDRESS = "127.0.0.1"
MARK = "figures of the load: "
REQUESTS_AT_MOST = 1_000_000  # of ab, which wants to know

SCRIPT = """\
local paths = {%s}
local requests, place = {}, 0

function init(args)
  for i, path in ipairs(paths) do
    requests[i] = wrk.format("GET", path)
  end
end

function request()
  place = place %% #requests + 1
  return requests[place]
end

function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format(
    '\\n%s{"requests": %%d, "us": %%d, "p50_us": %%d, "p99_us": %%d, ' ..
    '"failed": {"connect": %%d, "read": %%d, "write": %%d, ' ..
    '"timeout": %%d, "status": %%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect, e.read, e.write, e.timeout, e.status))
end
"""


class Load(NamedTuple):
    """What a generator measured."""
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def refuse_failures(requests, failed, seconds):
    """Problem unless all requests were answered well."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in failed.items()
                      if count)
    if kinds:
        raise Problem(f"requests failed, {requests} answered: {kinds}")
    if requests < 1:
        raise Problem(f"no request was answered in {seconds:.1f} s")


# --- wrk ----------------------------------------------------------------------

def parse_wrk(output):
    """The Load that SCRIPT printed."""
    for line in output.splitlines():
        if line.startswith(MARK):
            try:
                said = json.loads(line[len(MARK):])
                refuse_failures(said["requests"], said["failed"],
                                said["us"] / 1e6)
                return Load(said["requests"], said["us"] / 1e6,
                            said["p50_us"] / 1e3, said["p99_us"] / 1e3)
            except (ValueError, KeyError, TypeError):
                break
    raise Problem(f"wrk printed no figures but:\n  {output.strip()[:300]!r}")


class Wrk:
    """One thread, all connections, the paths in turns."""
    name = "wrk"

    def __init__(self, program):
        self.program = program

    def run(self, port, paths, seconds, folder):
        script = folder / "load.lua"
        quoted = ", ".join(json.dumps(path) for path in paths)
        script.write_text(SCRIPT % (quoted, MARK), encoding="utf-8")
        command = [self.program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s",
                   "--timeout", f"{PATIENCE}s", "-s", script,
                   f"http://{ADDRESS}:{port}"]
        return parse_wrk(child.run(command, child.environment(None),
                                   timeout=seconds + 2 * PATIENCE))


# --- ab -----------------------------------------------------------------------

class Share(NamedTuple):
    """What one ab measured."""
    requests: int
    seconds: float
    times: list         # milliseconds, of each hundredth of the requests


def figure(output, what, missing=None):
    match = re.search(rf"^{what}:\s+([\d.]+)", output, re.M)
    if match:
        return float(match.group(1))
    if missing is None:
        raise Problem(f"ab does not say its {what!r}:\n"
                      f"  {output.strip()[:300]!r}")
    return missing


def parse_ab(output, table):
    """A Share: of what ab printed, and of its table of hundredths."""
    requests = int(figure(output, "Complete requests"))
    seconds = figure(output, "Time taken for tests")
    refuse_failures(requests, {
        "failed": int(figure(output, "Failed requests")),
        "status": int(figure(output, "Non-2xx responses", 0)),
        "write": int(figure(output, "Write errors", 0))}, seconds)
    rows = [row for row in csv.reader(table.splitlines())
            if len(row) == 2 and row[0].isdigit()]
    if len(rows) < 100:
        raise Problem(f"ab wrote {len(rows)} hundredths, not 100")
    return Share(requests, seconds,
                 [float(time) for _, time in rows[:100]])


def merge(shares):
    """The Load of several at once."""
    weighted = sorted((time, share.requests) for share in shares
                      for time in share.times)
    total = sum(weight for _, weight in weighted)

    def percentile(part):
        below = 0
        for time, weight in weighted:
            below += weight
            if below * 100 > total * part:
                break
        return time

    return Load(sum(share.requests for share in shares),
                max(share.seconds for share in shares),
                percentile(50), percentile(99))


class Ab:
    """One process for each path, at once; they share the connections."""
    name = "ab"

    def __init__(self, program):
        self.program = program

    def run_one(self, url, connections, seconds, table):
        command = [self.program, "-q", "-s", PATIENCE, "-t", seconds,
                   "-n", REQUESTS_AT_MOST, "-c", connections, "-e", table, url]
        output = child.run(command, child.environment(None),
                           timeout=seconds + 2 * PATIENCE)
        return parse_ab(output, table.read_text(encoding="utf-8"))

    def run(self, port, paths, seconds, folder):
        count = len(paths)
        with ThreadPoolExecutor(count) as pool:
            runs = [pool.submit(
                self.run_one, f"http://{ADDRESS}:{port}{path}",
                (CONNECTIONS + place) // count, seconds,
                folder / f"load-{place}.csv")
                for place, path in enumerate(paths)]
            return merge([run.result() for run in runs])


KINDS = {kind.name: kind for kind in (Wrk, Ab)}
PACKAGES = "wrk or apache2-utils"


def find(wanted=None):
    """The generator of that name, or the first that is there, or None."""
    for name, kind in KINDS.items():
        program = shutil.which(name)
        if program and wanted in (None, name):
            return kind(program)
    return None
