"""What is run, as a command, and what it printed, as rows.

    group            program of a round     rows             time of a ratio
    micro            a pattern of the host  PATTERN/SIZE...  processor time;
                                                             */real_time: real
    macro/stock      a Python program       the program      processor time
    macro/embedded1  the same, embedded     the program      processor time
    macro/embedded2  two at once            the program      real
    aged/...         a Python program       it, its stages   processor; aged.py
    bursts           a service              its figures      processor; bursts.py
    server           a web server           of two tables    real; server.py

A row is an entry of the result file, in Google Benchmark's terms, but for the
number of the round, which the schedule adds.
"""

import json
import re
from typing import NamedTuple

from . import child
from .allocators import FLOORS, GENERAL, MAIN, OURS
from .discover import ROOT, numbers
from .problem import Problem
from .results import disturbed

NAMES = ("micro", "macro/stock", "macro/embedded1", "macro/embedded2",
         "aged/stock", "aged/embedded1", "bursts", "server")
REAL, CPU = "real_time", "cpu_time"
KNOWN_TO_HOSTS = MAIN + GENERAL + FLOORS
MIMALLOC_SINCE = (3, 13)  # CPython's own
WORKER = ROOT / "bench/macro/worker.py"
ATTEMPTS = 3              # at rows of two threads that were disturbed
WARM_SECONDS = 0.001      # of a micro row in the first round


class Setting(NamedTuple):
    """How much of everything."""
    scale: float = 1.0        # of the loops of macro programs
    min_time: float = 0.1     # seconds, of a micro row
    cpus: frozenset = None    # where children with one thread run
    rest: float = 1.0         # seconds from a program's end to the last look


def parse(output, command):
    """The JSON object that a host or worker.py prints."""
    try:
        answer = json.loads(output)
        if isinstance(answer, dict):
            return answer
    except ValueError:
        pass
    shown = " ".join(map(str, command))
    raise Problem(f"printed no JSON object but:\n  {output.strip()[:200]!r}\n"
                  f"  {shown}")


def expect_allocator(answer, allocator):
    """The process must have run on what it was asked to."""
    fitting = {allocator.name}
    if allocator.is_other_build:
        fitting = {OURS}
    elif allocator.name not in KNOWN_TO_HOSTS:
        fitting = {"malloc"}  # of --rival: hosts do not know its name
    if answer not in fitting:
        raise Problem(f"was to run on {allocator.name} but says it ran on "
                      f"{answer!r}; is LD_PRELOAD or PYTHONMALLOC set by "
                      "something in between?")


def runs_here(allocator, version):
    """Whether that Python can be put on the allocator."""
    return (allocator.name != "mimalloc"
            or numbers(version)[:2] >= MIMALLOC_SINCE)


def host_words(allocator):
    """The options that choose an allocator in a host."""
    words = [f"--allocator={allocator.host}"]
    if allocator.host == "malloc" and allocator.name in KNOWN_TO_HOSTS:
        words.append(f"--label={allocator.name}")
    return words


class Group:
    """One way to run programs.  `programs` maps a name to whatever the group
    wants to know of it; `allocators` are those that it can run."""
    name = ""
    by_preload = False   # how pimalloc comes
    preload = None       # its library then

    def __init__(self, python, setting, allocators):
        self.python = python
        self.setting = setting
        self.allocators = [one for one in allocators
                           if runs_here(one, python)
                           and (self.by_preload or not one.is_other_build)]
        self.programs = {}

    def cpus(self, _program):
        return self.setting.cpus

    def preloaded(self, allocator):
        """The environment of a stock Python on the allocator."""
        library = self.preload if allocator.name == OURS else allocator.library
        return child.environment(allocator, library, stock=True)

    def notes(self):
        """Lines without which its figures are not to be read."""
        return []

    def measure(self, program, allocator, warm=False):
        """Runs it once: (rows, None), or (None, why this Python cannot).
        To `warm` is to run it as shortly as can be."""
        raise NotImplementedError


# --- micro --------------------------------------------------------------------

class Micro(Group):
    """Patterns of the Google Benchmark host; a program is one pattern."""
    name = "micro"

    def __init__(self, host, setting, allocators, rows=()):
        super().__init__(host.version, setting, allocators)
        self.host = host
        for row in rows or self.list_rows():
            self.programs.setdefault(row.split("/")[0], []).append(row)

    def list_rows(self):
        command = [self.host.path, f"--allocator={OURS}",
                   "--benchmark_list_tests=true"]
        output = child.run(command, child.environment(None))
        return [line.strip() for line in output.splitlines() if line.strip()]

    def cpus(self, program):
        parallel = any(row.endswith("/" + REAL)
                       for row in self.programs[program])
        return None if parallel else self.setting.cpus

    def command(self, program, allocator, warm):
        wanted = "|".join(re.escape(row).replace(r"\-", "-")
                          for row in self.programs[program])
        seconds = WARM_SECONDS if warm else self.setting.min_time
        return [self.host.path, *host_words(allocator),
                f"--benchmark_filter=^({wanted})$",
                f"--benchmark_min_time={seconds:g}",  # 1.7 wants no unit
                "--benchmark_format=json"]

    def measure(self, program, allocator, warm=False):
        command = self.command(program, allocator, warm)
        env = child.environment(allocator, allocator.library)
        best = None
        for _ in range(1 if warm else ATTEMPTS):
            rows = self.attempt(command, env, program, allocator)
            bad = sum(map(disturbed, rows))
            if best is None or bad < sum(map(disturbed, best)):
                best = rows
            if not bad:
                break
        return best, None

    def attempt(self, command, env, program, allocator):
        """The rows of one process."""
        output = child.run(command, env, self.cpus(program))
        if not output.strip():
            return []  # no row of this pattern on this allocator
        answer = parse(output, command)
        expect_allocator(answer["context"].get("allocator"), allocator)
        return [self.row(entry, allocator) for entry in answer["benchmarks"]
                if entry.get("run_type", "iteration") == "iteration"]

    def row(self, entry, allocator):
        if entry.get("error_occurred") or entry.get("skipped"):
            raise Problem(f"{entry['name']}: " + (entry.get("error_message")
                          or entry.get("skip_message") or "failed"))
        row = dict(entry)
        row["ratio_time"] = (REAL if entry["name"].endswith("/" + REAL)
                             else CPU)
        row["name"] = row["run_name"] = \
            f"micro/{entry['name']}/{allocator.name}"
        row["python"] = self.python
        return row


# --- macro --------------------------------------------------------------------

def read_loops(path):
    """LOOPS of a program, without running it."""
    match = re.search(r"^LOOPS\s*=\s*(\d+)", path.read_text(encoding="utf-8"),
                      re.M)
    if not match:
        raise Problem(f"{path}: has no line LOOPS = <number>")
    return int(match.group(1))


def find_programs(folder):
    """{name: LOOPS} of the programs in bench/macro/programs."""
    return {path.stem: read_loops(path) for path in sorted(folder.glob("*.py"))
            if not path.stem.startswith("_")}


class Macro(Group):
    """Python programs; each runs in a process of its own."""
    time = CPU
    interpreters = 1
    has_floors = False

    def __init__(self, python, setting, allocators, folder):
        super().__init__(python, setting,
                         [one for one in allocators
                          if one.name not in FLOORS or self.has_floors])
        self.folder = folder
        self.programs = find_programs(folder)
        self.digests = {}

    def loops(self, program, warm):
        if warm:
            return 1
        return max(1, round(self.programs[program] * self.setting.scale))

    def words(self, program, warm):
        """The options that worker.py and the host have in common."""
        return [f"--program={program}", f"--loops={self.loops(program, warm)}",
                f"--programs={self.folder}",
                f"--rest={0 if warm else self.setting.rest:g}"]

    def command(self, program, allocator, warm):
        raise NotImplementedError

    def environment(self, allocator):
        raise NotImplementedError

    def measure(self, program, allocator, warm=False):
        command = self.command(program, allocator, warm)
        output = child.run(command, self.environment(allocator),
                           self.cpus(program))
        answer = parse(output, command)
        expect_allocator(answer.get("allocator"), allocator)
        if answer.get("skipped"):
            return None, answer["skipped"]
        self.check(program, allocator, answer)
        return self.rows(program, allocator, answer), None

    def check(self, program, allocator, answer):
        """All allocators must have done the same work."""
        if len(answer["real_s"]) != self.interpreters:
            raise Problem(f"ran in {len(answer['real_s'])} interpreters, not "
                          f"in {self.interpreters}")
        digest, where = self.digests.setdefault(
            program, (answer["digest"], allocator.name))
        if answer["digest"] != digest:
            raise Problem(f"the result is {answer['digest']} on "
                          f"{allocator.name}, but {digest} on {where}")

    def rows(self, program, allocator, answer):
        name = f"{self.name}/{program}/{allocator.name}"
        return [{"name": name, "run_name": name, "run_type": "iteration",
                "threads": self.interpreters,
                "iterations": answer["loops"] * self.interpreters,
                "real_time": answer["wall_s"] * 1e3,
                "cpu_time": sum(answer["cpu_s"]) * 1e3, "time_unit": "ms",
                "ratio_time": self.time,
                "cpu_share": sum(answer["cpu_s"]) / sum(answer["real_s"]),
                "peak_kb": answer["peak_kb"], "after_kb": answer["after_kb"],
                "start_kb": answer["start_kb"], "python": answer["python"]}]


class Stock(Macro):
    """python3 as it is installed; pimalloc comes with LD_PRELOAD."""
    name = "macro/stock"
    by_preload = True

    def __init__(self, python, preload, setting, allocators, folder):
        super().__init__(python["version"], setting, allocators, folder)
        self.executable = python["executable"]
        self.preload = preload

    def command(self, program, allocator, warm):
        words = [self.executable, "-S", "-s", WORKER,
                 *self.words(program, warm)]
        if allocator.name in KNOWN_TO_HOSTS:
            words.append(f"--allocator={allocator.name}")
        return words

    def environment(self, allocator):
        return self.preloaded(allocator)


class Embedded(Macro):
    """A program that runs Python inside own-GIL interpreters."""

    def __init__(self, host, interpreters, setting, allocators, folder):
        self.has_floors = interpreters == 1  # they know no threads
        super().__init__(host.version, setting, allocators, folder)
        self.name = f"macro/embedded{interpreters}"
        self.host = host
        self.interpreters = interpreters
        self.time = CPU if interpreters == 1 else REAL

    def cpus(self, _program):
        return self.setting.cpus if self.interpreters == 1 else None

    def command(self, program, allocator, warm):
        return [self.host.path, *host_words(allocator),
                *self.words(program, warm),
                f"--interpreters={self.interpreters}"]

    def environment(self, allocator):
        return child.environment(allocator, allocator.library)
