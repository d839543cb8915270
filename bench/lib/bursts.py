"""The group `bursts`: one process that serves requests in bursts.

bench/bursts/process.py is the service; a stock python3 runs it, and pimalloc
and the general allocators come with LD_PRELOAD.  Rows are the processor time of
a request, its median, its 99th hundredth and its mean; memory stands in the row
of the mean: the peak, and what is resident at the end of the last idle time.
"""

from statistics import median

from . import child, lines
from .allocators import BASE, FLOORS
from .discover import ROOT
from .groups import CPU, KNOWN_TO_HOSTS, Group, expect_allocator, parse
from .problem import Problem
from .stats import median_interval

PROCESS = ROOT / "bench/bursts/process.py"
NAME = "bursts"
SERVICE = "service"        # the one program of the group
REQUESTS, PAUSE = 250, 1.2     # times --scale
LEAST_REQUESTS = 20
ROWS = (("p50", "p50_s"), ("p99", "p99_s"), ("mean", "mean_s"))
SECONDS, MINUTE, BURST = 480, 60, 10   # of the service's own clock
LOOK = lines.Look(1, 300, "minutes of the service's own clock")


class Bursts(Group):
    """Runs the service."""
    name = NAME
    by_preload = True

    def __init__(self, python, preload, setting, allocators):
        super().__init__(python["version"], setting,
                         [one for one in allocators if one.name not in FLOORS])
        self.executable = python["executable"]
        self.preload = preload
        self.programs = {SERVICE: None}
        self.digests = {}

    def notes(self):
        return [f"{NAME}: idle lasts {PAUSE * self.setting.scale:.2g} s where "
                "the service's own clock says 50: what allocators give back "
                "later than that is not seen"]

    def command(self, allocator, warm):
        scale = 0 if warm else self.setting.scale
        words = [self.executable, "-S", "-s", PROCESS, "--requests="
                 f"{max(LEAST_REQUESTS, round(REQUESTS * scale))}",
                 f"--pause={PAUSE * scale:g}"]
        if allocator.name in KNOWN_TO_HOSTS:
            words.append(f"--allocator={allocator.name}")
        return words

    def measure(self, program, allocator, warm=False):
        command = self.command(allocator, warm)
        answer = parse(child.run(command, self.preloaded(allocator),
                                 self.cpus(program)), command)
        expect_allocator(answer.get("allocator"), allocator)
        if not warm:
            digest, where = self.digests.setdefault(
                program, (answer["digest"], allocator.name))
            if answer["digest"] != digest:
                raise Problem(f"the result is {answer['digest']} on "
                              f"{allocator.name}, but {digest} on {where}")
        return self.rows(allocator, answer), None

    def rows(self, allocator, answer):
        made = []
        for row, field in ROWS:
            name = f"{NAME}/{row}/{allocator.name}"
            milliseconds = answer[field] * 1e3
            made.append({"name": name, "run_name": name,
                         "run_type": "iteration", "threads": 1,
                         "iterations": answer["served"], "time_unit": "ms",
                         "real_time": milliseconds, "cpu_time": milliseconds,
                         "ratio_time": CPU, "python": answer["python"]})
        made[-1].update(peak_kb=answer["peak_kb"], after_kb=answer["after_kb"],
                        start_kb=answer["start_kb"],
                        resident_kb=answer["resident_kb"])
        return made


# --- figures ------------------------------------------------------------------

def idle_kb(entry):
    """The median of what is resident at the ends of the idle times."""
    return median(entry["resident_kb"][MINUTE - 1::MINUTE])


# (heading, row, factor, digits, what of an entry)
QUANTITIES = (
    ("p50, ms", "p50", 1, 3, lambda entry: entry["cpu_time"]),
    ("p99, ms", "p99", 1, 2, lambda entry: entry["cpu_time"]),
    ("mean, ms", "mean", 1, 3, lambda entry: entry["cpu_time"]),
    ("MiB at most", "mean", 1 / 1024, 1, lambda entry: entry["peak_kb"]),
    ("MiB idle", "mean", 1 / 1024, 1, idle_kb),
    ("MiB at the end", "mean", 1 / 1024, 1, lambda entry: entry["after_kb"]))


def collate(rows):
    """{row: {allocator: {round: entry}}} of this group."""
    found = {}
    for row in rows:
        group, _, rest = row["name"].partition("/")
        if group == NAME:
            name, _, allocator = rest.partition("/")
            found.setdefault(name, {}).setdefault(allocator, {})[
                row["repetition_index"]] = row
    return found


def cell(runs, base, factor, digits, value):
    middle = median(value(entry) for entry in runs.values()) * factor
    text = f"{middle:.{digits}f}"
    ratios = [value(entry) / value(base[number])
              for number, entry in runs.items()
              if runs is not base and number in base]
    return f"{text} ({median_interval(ratios).middle:.2f})" if ratios else text


def cells(rows, ranked):
    """A table as lists of words, or [] without rows of this group."""
    found = collate(rows)
    if not found:
        return []
    names = [name for name in ranked if name in found["mean"]]
    table = [[NAME, *names]]
    for heading, row, *rest in QUANTITIES:
        base = found[row].get(BASE, {})
        table.append([heading, *(cell(found[row][name], base, *rest)
                                 for name in names)])
    return table


def draw(rows, ranked, headings, facts):
    """{file name: SVG}: resident memory over time."""
    found = collate(rows).get("mean")
    if not found:
        return {}
    of_allocator = {
        name: [median(column) / 1024 for column in
               zip(*(entry["resident_kb"] for entry in runs.values()))]
        for name, runs in found.items()}
    xs = [(second + 1) / MINUTE for second in range(SECONDS)]
    bursts = tuple((max(xs[0], minute), minute + BURST / MINUTE)
                   for minute in range(SECONDS // MINUTE))
    panel = lines.Panel("resident", "MiB; shaded: bursts", xs, of_allocator,
                        tuple(range(1, SECONDS // MINUTE + 1)), bursts)
    return {f"{NAME}-resident.svg": lines.draw(
        f"Resident memory over time: {headings[NAME]}", facts[NAME], [panel],
        ranked, LOOK)}
