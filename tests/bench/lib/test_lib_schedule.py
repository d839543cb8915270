#!/usr/bin/env python3
"""Rounds come in the promised order, and end when the time is up."""

import unittest
from types import SimpleNamespace
from unittest import mock

import support  # noqa: F401  (finds bench/lib)
from lib import busy, schedule
from lib.problem import Problem

NAMES = ("pimalloc", "pymalloc", "mimalloc", "glibc")


class FakeGroup:
    """Takes a second of a fake clock for each run, a tenth to warm."""

    def __init__(self, name="micro", programs=("a", "b"), fails=()):
        self.name = name
        self.programs = dict.fromkeys(programs)
        self.allocators = [SimpleNamespace(name=name) for name in NAMES]
        self.fails = fails
        self.now = 0.0
        self.ran = []

    def clock(self):
        return self.now

    def measure(self, program, allocator, warm=False):
        self.now += 0.1 if warm else 1.0
        self.ran.append((program, allocator.name, warm))
        for what in self.fails:
            what(self, program, allocator, warm)
        if program == "skipped":
            return None, "no module"
        return [{"name": f"{self.name}/{program}/{allocator.name}"}], None


def plan_of(group, rounds, budget=None, progress=lambda text: None):
    return schedule.Schedule(schedule.jobs_of([group]), rounds, budget,
                             progress, group.clock, lambda: None)


class Orders(unittest.TestCase):

    def test_each_allocator_has_each_place_as_often(self):
        turns = [schedule.order(list(NAMES), number) for number in range(8)]
        for place in range(4):
            self.assertEqual(sorted(turn[place] for turn in turns),
                             sorted(NAMES * 2))

    def test_it_is_drawn_by_lot_and_can_be_repeated(self):
        def orders(title):
            return ["".join(schedule.order(list("abcd"), number, title))
                    for number in range(100)]

        self.assertEqual(orders("micro/x"), orders("micro/x"))
        self.assertNotEqual(orders("micro/x"), orders("micro/y"))
        self.assertGreater(len(set(orders("micro/x"))), 10)
        after_a = {order[order.index("a") - 1] for order in orders("micro/x")}
        self.assertEqual(after_a, set("bcd"))

    def test_the_allocators_of_a_program_follow_one_another(self):
        group = FakeGroup()
        plan_of(group, 2).run()
        counted = [run for run in group.ran if not run[2]]
        for start in range(0, len(counted), len(NAMES)):
            block = counted[start:start + len(NAMES)]
            self.assertEqual(len({program for program, _, _ in block}), 1)
            self.assertEqual({name for _, name, _ in block}, set(NAMES))

    def test_groups_come_in_their_usual_order(self):
        jobs = schedule.jobs_of([FakeGroup("macro/stock"), FakeGroup("micro")])
        self.assertEqual([job.title for job in jobs],
                         ["micro/a", "micro/b", "macro/stock/a",
                          "macro/stock/b"])


class Rounds(unittest.TestCase):

    def test_rows_say_what_others_used_meanwhile(self):
        with mock.patch("lib.busy.read", side_effect=lambda: busy.Reading(
                3.0 * group.now, 0.5 * group.now, group.now, group.now)):
            group = FakeGroup()
            rows = plan_of(group, 1).run()
        for row in rows:
            self.assertAlmostEqual(row["others"], 2.0)
            self.assertAlmostEqual(row["stolen"], 0.5)

    def test_they_do_not_where_nobody_knows(self):
        with mock.patch("lib.busy.read", return_value=None):
            rows = plan_of(FakeGroup(), 1).run()
        self.assertNotIn("others", rows[0])

    def test_each_round_says_what_others_used_before_and_during_it(self):
        readings = iter(range(1000))
        with mock.patch("lib.busy.read", side_effect=lambda: busy.Reading(
                *[float(next(readings))] * 2, 0.0, float(next(readings)))):
            plan = plan_of(FakeGroup(), 2)
            plan.look = lambda: busy.Others(0.7, 0.0)
            plan.run()
        self.assertEqual(len(plan.seen), 2)
        self.assertEqual(plan.seen[0].before.others, 0.7)
        self.assertEqual(plan.seen[0].during.others, 1.0)

    def test_the_first_round_is_short_and_not_counted(self):
        group = FakeGroup()
        rows = plan_of(group, 2).run()
        self.assertEqual(group.ran[:2], [("a", "pimalloc", True),
                                         ("b", "pymalloc", True)])
        self.assertFalse(any(warm for _, _, warm in group.ran[2:]))
        self.assertEqual(len(rows), 2 * 2 * len(NAMES))
        self.assertEqual({row["repetition_index"] for row in rows}, {0, 1})
        self.assertEqual({row["repetitions"] for row in rows}, {2})

    def test_a_budget_is_kept(self):
        group = FakeGroup()      # 0.2 s for the first round, 8 s for others
        plan = plan_of(group, 100, budget=30.0)
        plan.run()
        self.assertEqual(plan.done_rounds, 3)
        self.assertLessEqual(group.now, 30.0)

    def test_one_round_is_run_in_any_case(self):
        plan = plan_of(FakeGroup(), 100, budget=0.01)
        self.assertEqual(len(plan.run()), 8)

    def test_what_cannot_be_run_is_passed_over(self):
        group = FakeGroup(programs=("a", "skipped"))
        plan = plan_of(group, 3)
        rows = plan.run()
        self.assertEqual(plan.skipped, {"micro/skipped": "no module"})
        self.assertEqual(sum(program == "skipped"
                             for program, _, _ in group.ran), 1)
        self.assertEqual(len(rows), 3 * len(NAMES))

    def test_a_failure_names_program_and_allocator(self):
        def fail(_group, program, allocator, warm):
            if (program, allocator.name, warm) == ("b", "glibc", False):
                raise Problem("exit status 1")
        with self.assertRaisesRegex(Problem, "micro/b on glibc: exit status"):
            plan_of(FakeGroup(fails=[fail]), 2).run()

    def test_an_interrupted_run_keeps_its_complete_rounds(self):
        def interrupt(group, _program, _allocator, _warm):
            if group.now > 20.0:
                raise KeyboardInterrupt
        rows = plan_of(FakeGroup(fails=[interrupt]), 9).run()
        self.assertEqual(len(rows), 2 * 8)

    def test_one_that_has_none_is_interrupted(self):
        def interrupt(_group, _program, _allocator, _warm):
            raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            plan_of(FakeGroup(fails=[interrupt]), 9).run()


class Reports(unittest.TestCase):

    def test_the_rest_is_known_after_a_round(self):
        said = []
        group = FakeGroup()
        plan_of(group, 3, progress=said.append).run()
        self.assertIn("first round, not counted, micro/a", said[0])
        last = [text for text in said if "round 3 of 3" in text]
        self.assertIn("about 0:08 left", last[0])
        self.assertIn("about 0:04 left", last[-1])

    def test_it_is_guessed_before(self):
        said = []
        plan_of(FakeGroup(), 3, progress=said.append).run()
        second = [text for text in said if "round 1 of 3, micro/b" in text]
        self.assertIn("about 0:20 left", second[0])

    def test_a_budget_says_how_many_rounds_will_be(self):
        said = []
        plan_of(FakeGroup(), 100, budget=30.0, progress=said.append).run()
        self.assertTrue(any("round 2 of 3" in text for text in said))

    def test_clocks_read_well(self):
        for seconds, text in ((4, "0:04"), (75, "1:15"), (3723, "1:02:03")):
            self.assertEqual(schedule.clock_text(seconds), text)


if __name__ == "__main__":
    unittest.main()
