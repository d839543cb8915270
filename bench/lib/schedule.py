"""Rounds, their order, and the time they take.

    round 0   thrown away: it writes .pyc files, warms the disk cache, and
              tells how long everything takes
    round 1   program 1: pimalloc pymalloc mimalloc ...
              program 2: pymalloc mimalloc ... pimalloc
    round 2   program 1: in another order ...

All allocators run a program directly after one another, so that what the
machine does meanwhile hits all of them; the ratios of a round are of runs a few
seconds apart.  The order turns by one each round and is reversed in every
second, so that nobody always comes after the same one.  Rounds are the outer
loop: a bad minute spoils some rows of one round, not all rounds of some rows.
"""

import time
from typing import NamedTuple

from .groups import NAMES, Group
from .problem import Problem


class Job(NamedTuple):
    """One program of one group, on all allocators of the group."""
    group: Group
    program: str

    @property
    def title(self):
        return f"{self.group.name}/{self.program}"


def order(allocators, number):
    """The allocators in the order of a job's `number`-th turn."""
    turn = number % len(allocators)
    turned = allocators[turn:] + allocators[:turn]
    return turned if number % 2 == 0 else turned[::-1]


def clock_text(seconds):
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}:{seconds:02}" if hours
            else f"{minutes}:{seconds:02}")


class Schedule:
    """Runs jobs for a number of rounds, or as many as fit a time budget."""

    def __init__(self, jobs, rounds, budget=None, progress=lambda text: None,
                 clock=time.monotonic):
        self.jobs = jobs
        self.rounds = rounds
        self.budget = budget       # seconds for everything, or None
        self.progress = progress
        self.clock = clock
        self.rows = []             # of the rounds that count
        self.skipped = {}          # title of a job -> why
        self.seconds = {}          # title of a job -> of its last turn
        self.started_rounds = 0
        self.done_rounds = 0
        self.first_seconds = None  # of the round that is thrown away
        self.started = clock()

    def elapsed(self):
        return self.clock() - self.started

    def round_seconds(self):
        """What a round takes, as far as is known."""
        known = [self.seconds[job.title] for job in self.jobs
                 if job.title in self.seconds]
        if not known:
            return None
        return sum(known) * len(self.jobs) / len(known)

    def planned_rounds(self):
        """Rounds that are run or will be, the first not counted."""
        cost = self.round_seconds()
        if self.budget is None or not cost:
            return self.rounds
        fitting = int((self.budget - (self.first_seconds or cost)) / cost)
        return max(1, min(self.rounds, fitting))

    def remaining(self, place):
        """Seconds that are left, at the job number `place` of a round."""
        cost = self.round_seconds()
        if not cost:
            return None
        total = self.planned_rounds() + 1
        return cost * (total - self.started_rounds + 1
                       - place / len(self.jobs))

    def report(self, place, job, allocator):
        number = self.started_rounds - 1
        which = ("first round, not counted" if number == 0
                 else f"round {number} of {self.planned_rounds()}")
        left = self.remaining(place)
        ending = "" if left is None else f"  about {clock_text(left)} left"
        self.progress(f"{clock_text(self.elapsed())}  {which}, "
                      f"{job.title} {allocator.name}{ending}")

    def run_job(self, place, job, number):
        """One turn of a job: its rows."""
        rows = []
        began = self.clock()
        for allocator in order(job.group.allocators, number + place):
            self.report(place, job, allocator)
            try:
                more, why = job.group.measure(job.program, allocator)
            except Problem as problem:
                raise Problem(f"{job.title} on {allocator.name}: "
                              f"{problem}") from None
            if why is not None:
                self.skipped[job.title] = why
                break
            rows += more
        self.seconds[job.title] = self.clock() - began
        return rows

    def run_round(self, number):
        self.started_rounds += 1
        rows = []
        for place, job in enumerate(self.jobs):
            if job.title not in self.skipped:
                rows += self.run_job(place, job, number)
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
            self.first_seconds = self.elapsed()
            while self.jobs and self.another_fits():
                rows = self.run_round(self.done_rounds + 1)
                for row in rows:
                    row["repetition_index"] = self.done_rounds
                self.rows += rows
                self.done_rounds += 1
        except KeyboardInterrupt:
            if self.done_rounds == 0:
                raise
            self.progress("")
        for row in self.rows:
            row["repetitions"] = self.done_rounds
        return self.rows


def jobs_of(groups, pattern=None):
    """All programs of the groups whose name, or GROUP/name, has a match."""
    ranked = sorted(groups, key=lambda group: NAMES.index(group.name))
    return [Job(group, program) for group in ranked
            for program in group.programs
            if pattern is None or pattern.search(f"{group.name}/{program}")]
