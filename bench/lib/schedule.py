"""Rounds, their order, and the time they take.

    round 0   thrown away: one loop of everything, on one allocator or another,
              which warms the disk cache
    round 1   program 1: pimalloc pymalloc mimalloc ...
              program 2: pymalloc mimalloc ... pimalloc
    round 2   program 1: in another order ...

All allocators run a program directly after one another, so that what the
machine does meanwhile hits all of them; the ratios of a round are of runs a few
seconds apart.  The order is drawn by lot, so that nothing that comes and goes
hits one of them always, and so that in as many rounds as there are allocators
each has each place once.  Rounds are the outer loop: a bad minute spoils some
rows of one round, not all rounds of some rows.

Each row says what other processes used meanwhile, and each round what they used
before and during it.
"""

import random
import time
from typing import NamedTuple

from . import busy
from .groups import NAMES, Group
from .problem import Problem


class Job(NamedTuple):
    """One program of one group, on all allocators of the group."""
    group: Group
    program: str

    @property
    def title(self):
        return f"{self.group.name}/{self.program}"


def order(allocators, number, title=""):
    """The allocators in the order of a job's `number`-th turn, from 0; the
    same for the same job always."""
    block, turn = divmod(number, len(allocators))
    lot = random.Random(f"{title} {block}")
    drawn = lot.sample(allocators, len(allocators))
    first = lot.sample(range(len(allocators)), len(allocators))[turn]
    return drawn[first:] + drawn[:first]


def clock_text(seconds):
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}:{seconds:02}" if hours
            else f"{minutes}:{seconds:02}")


class Schedule:
    """Runs jobs for a number of rounds, or as many as fit a time budget."""

    def __init__(self, jobs, rounds, budget=None, progress=lambda text: None,
                 clock=time.monotonic, look=busy.look):
        self.jobs = jobs
        self.rounds = rounds
        self.budget = budget       # seconds for everything, or None
        self.progress = progress
        self.clock = clock
        self.look = look           # at what others use, before a round
        self.seen = []             # a busy.Round of each that counts
        self.rows = []             # of the rounds that count
        self.skipped = {}          # title of a job -> why
        self.warm_seconds = {}     # title of a job -> in the first round
        self.seconds = {}          # title of a job -> of its last full turn
        self.number = 0            # of the round that runs
        self.done_rounds = 0
        self.started = clock()

    # --- how long it takes ---

    def elapsed(self):
        return self.clock() - self.started

    def job_seconds(self, job):
        """A full turn: as the last one, or guessed from the first round by
        what other jobs took then and now."""
        if job.title in self.seconds:
            return self.seconds[job.title]
        warm = sum(self.warm_seconds[title] for title in self.seconds)
        full = sum(self.seconds.values())
        factor = full / warm if warm else len(job.group.allocators)
        return self.warm_seconds.get(job.title, 0.0) * factor

    def round_seconds(self):
        return sum(self.job_seconds(job) for job in self.jobs)

    def planned_rounds(self, place=0):
        """Rounds that are run or will be, at the job number `place` of one."""
        cost = self.round_seconds()
        if self.budget is None or not cost:
            return self.rounds
        rest = sum(self.job_seconds(job) for job in self.jobs[place:])
        more = int((self.budget - self.elapsed() - rest) / cost)
        return max(1, min(self.rounds, self.number + max(0, more)))

    def remaining(self, place):
        """Seconds that are left, at the job number `place` of a round."""
        rest = sum(self.job_seconds(job) for job in self.jobs[place:])
        rounds = self.planned_rounds(place) - self.number
        return rest + rounds * self.round_seconds()

    def report(self, place, job, allocator):
        which, ending = "first round, not counted", ""
        if self.number > 0:
            which = f"round {self.number} of {self.planned_rounds(place)}"
            ending = f"  about {clock_text(self.remaining(place))} left"
        self.progress(f"{clock_text(self.elapsed())}  {which}, "
                      f"{job.title} {allocator.name}{ending}")

    # --- running ---

    def turn(self, place, job):
        """The allocators that a job runs on in this round, in their order."""
        allocators = job.group.allocators
        if self.number == 0:
            return [allocators[place % len(allocators)]]
        return order(allocators, self.number - 1, job.title)

    def measure(self, job, allocator):
        """One run: its rows, and why not."""
        before = busy.read()
        try:
            rows, why = job.group.measure(job.program, allocator,
                                          warm=self.number == 0)
        except Problem as problem:
            raise Problem(f"{job.title} on {allocator.name}: "
                          f"{problem}") from None
        used = busy.between(before, busy.read())
        for row in rows if used and rows else ():
            row.update(used._asdict())
        return rows, why

    def run_job(self, place, job):
        """One turn of a job: its rows."""
        rows = []
        began = self.clock()
        for allocator in self.turn(place, job):
            self.report(place, job, allocator)
            more, why = self.measure(job, allocator)
            if why is not None:
                self.skipped[job.title] = why
                break
            rows += more
        kept = self.seconds if self.number > 0 else self.warm_seconds
        kept[job.title] = self.clock() - began
        return rows

    def run_round(self, number):
        self.number = number
        rows = []
        for place, job in enumerate(self.jobs):
            rows += self.run_job(place, job)
        return rows

    def another_fits(self):
        if self.done_rounds >= self.rounds:
            return False
        return (self.budget is None or self.done_rounds == 0
                or self.elapsed() + self.round_seconds() <= self.budget)

    def run(self):
        """Rows of all rounds; a round that Ctrl-C ends does not count."""
        try:
            self.run_round(0)
            self.jobs = [job for job in self.jobs
                         if job.title not in self.skipped]
            while self.jobs and self.another_fits():
                idle, before = self.look(), busy.read()
                rows = self.run_round(self.done_rounds + 1)
                self.seen.append(busy.Round(
                    idle, busy.between(before, busy.read())))
                for row in rows:
                    row["repetition_index"] = self.done_rounds
                self.rows += rows
                self.done_rounds += 1
        except KeyboardInterrupt:
            if self.done_rounds == 0:
                raise
        for row in self.rows:
            row["repetitions"] = self.done_rounds
        return self.rows


def jobs_of(groups, pattern=None):
    """All programs of the groups whose name, or GROUP/name, has a match."""
    ranked = sorted(groups, key=lambda group: NAMES.index(group.name))
    return [Job(group, program) for group in ranked
            for program in group.programs
            if pattern is None or pattern.search(f"{group.name}/{program}")]
