#!/usr/bin/env python3
"""Ratios point the way they say, tables and charts show them."""

import re
import unittest
import xml.etree.ElementTree as ElementTree

import support
from lib import chart, ratios, results, table, targets

ONE, TWO = "macro/embedded1", "macro/embedded2"


def rows_of(group, program, times, peaks=None, rounds=3):
    """`times` and `peaks` by allocator."""
    return [support.entry(f"{group}/{program}/{name}", number, time,
                          peaks.get(name) if peaks else None)
            for number in range(rounds) for name, time in times.items()]


# pimalloc is twice as fast and needs half in one program, and is slower and
# needs more in the other.
ROWS = (rows_of(ONE, "json", {"pimalloc": 10, "pymalloc": 20, "glibc": 40},
                {"pimalloc": 500, "pymalloc": 1000, "glibc": 2000})
        + rows_of(ONE, "lists", {"pimalloc": 10, "pymalloc": 8, "glibc": 5},
                  {"pimalloc": 900, "pymalloc": 600, "glibc": 900}))
RANKED = ["pimalloc", "pymalloc", "mimalloc", "glibc"]


def summed(rows):
    return ratios.summaries(results.collate(rows, RANKED))


class Results(unittest.TestCase):

    def test_names_are_taken_apart(self):
        collated = results.collate(
            ROWS + [support.entry("micro/replace/16_512/1000/floor", 0, 1.0)])
        self.assertEqual(list(collated), [ONE, "micro"])
        self.assertEqual(list(collated[ONE]), ["json", "lists"])
        self.assertEqual(list(collated["micro"]), ["replace/16_512/1000"])
        self.assertEqual(list(collated["micro"]["replace/16_512/1000"]),
                         ["floor"])

    def test_each_row_has_its_clock(self):
        row = support.entry("micro/x/pimalloc", 0, 5.0,
                            ratio_time="real_time")
        row["real_time"] = 8.0
        value = results.value_of(row)
        self.assertAlmostEqual(value.seconds, 0.008)


class Ratios(unittest.TestCase):

    def test_above_one_pimalloc_is_faster(self):
        summary = summed(ROWS)[ONE]["pymalloc"]
        json, lists = summary.rows
        self.assertAlmostEqual(json.time.middle, 2.0)
        self.assertAlmostEqual(lists.time.middle, 0.8)
        self.assertAlmostEqual(summary.time.middle, 1.6 ** 0.5)
        self.assertEqual(summary.worst.name, "lists")

    def test_below_one_pimalloc_needs_less(self):
        summary = summed(ROWS)[ONE]["pymalloc"]
        self.assertAlmostEqual(summary.rows[0].memory.middle, 0.5)
        self.assertAlmostEqual(summary.memory.middle, 0.75 ** 0.5)
        self.assertEqual(summary.heaviest.name, "lists")

    def test_pairs_are_of_one_round(self):
        rows = []
        for number, slow in enumerate((1, 10, 100)):  # the machine gets slow
            rows += [support.entry("micro/pair/32/pimalloc", number, 2 * slow),
                     support.entry("micro/pair/32/pymalloc", number, 3 * slow)]
        row = summed(rows)["micro"]["pymalloc"].rows[0]
        for bound in row.time:
            self.assertAlmostEqual(bound, 1.5)

    def test_rivals_are_ranked(self):
        self.assertEqual(list(summed(ROWS[::-1])[ONE]), ["pymalloc", "glibc"])

    def test_two_interpreters_that_take_no_longer_do_twice_as_much(self):
        rows = (rows_of(ONE, "json", {"pimalloc": 10, "pymalloc": 10})
                + rows_of(TWO, "json", {"pimalloc": 10, "pymalloc": 20}))
        collated = results.collate(rows)
        self.assertAlmostEqual(ratios.parallel_gain(collated).middle, 2.0)
        self.assertAlmostEqual(
            ratios.parallel_gain(collated, "pymalloc").middle, 1.0)
        self.assertIsNone(ratios.parallel_gain(results.collate(ROWS)))

    def test_patterns_of_two_say_the_time_of_a_block_whoever_makes_it(self):
        rows = []
        for count, time in ((1, 10), (2, 5)):
            rows += rows_of("micro", f"parallel_x/64/{count}/real_time",
                            {"pimalloc": time, "pymalloc": 10})
        collated = results.collate(rows)
        (name, gain), = ratios.parallel_rows(collated).items()
        self.assertEqual(name, "parallel_x/64")
        self.assertAlmostEqual(gain.middle, 2.0)
        gain, = ratios.parallel_rows(collated, "pymalloc").values()
        self.assertAlmostEqual(gain.middle, 1.0)

    def test_a_run_that_was_disturbed_does_not_count(self):
        rows = rows_of("micro", "x", {"pimalloc": 10, "pymalloc": 30})
        rows[0].update(busy=0.6, cpu_time=50)
        row, = summed(rows)["micro"]["pymalloc"].rows
        self.assertAlmostEqual(row.time.low, 3.0)

    def test_the_floor_is_below(self):
        rows = rows_of("micro", "pair/32", {"pimalloc": 6, "floor": 4})
        distance = ratios.floor_distance(results.collate(rows), "pair/32")
        self.assertAlmostEqual(distance.middle, 1.5)


class Targets(unittest.TestCase):

    def verdicts(self, rows):
        collated = results.collate(rows)
        return {one.what: one for one in targets.judge(
            collated, ratios.summaries(collated))}

    def test_each_figure_is_judged(self):
        found = self.verdicts(
            ROWS + rows_of("micro", "pair/32", {"pimalloc": 4, "floor": 3})
            + rows_of("micro", "growth/16777216", {"pimalloc": 4, "glibc": 3})
            + rows_of(TWO, "json", {"pimalloc": 10, "pymalloc": 10}))
        reached = {what: one.reached for what, one in found.items()}
        self.assertEqual(reached, {
            f"{ONE} against pymalloc, time": True,
            f"{ONE} against glibc, time": True,
            f"{ONE} against pymalloc, worst row (lists)": False,
            f"{ONE} against pymalloc, memory": True,
            f"{ONE} against pymalloc, heaviest row (lists)": False,
            "micro pair/32, times the floor": True,
            "micro growth/16777216 against glibc": False,
            "two interpreters at once, programs": True})

    def test_what_was_not_run_is_not_judged(self):
        self.assertEqual(self.verdicts(rows_of("micro", "x",
                                               {"pimalloc": 1})), {})

    def test_an_interval_on_both_sides_is_doubtful(self):
        rows = []
        for number, time in enumerate((8, 12, 13)):
            rows += rows_of(ONE, "json", {"pimalloc": 10, "pymalloc": time},
                            rounds=1)
            for row in rows[-2:]:
                row["repetition_index"] = number
        one = self.verdicts(rows)[f"{ONE} against pymalloc, time"]
        self.assertTrue(one.reached)
        self.assertTrue(one.doubtful)
        self.assertIn("reached ~", "\n".join(table.target_lines([one])))


class Tables(unittest.TestCase):

    def test_times_have_three_digits(self):
        for seconds, text in ((6.4849e-9, "6.48 ns"), (3.5e-8, "35.0 ns"),
                              (8.74e-7, "874 ns"), (0.0123, "12.3 ms"),
                              (9.996e-3, "10.0 ms"), (1.5, "1.50 s"),
                              (4e-10, "0.40 ns")):
            self.assertEqual(table.time_text(seconds), text)

    def test_a_line_for_each_rival_begins_with_geomean(self):
        lines = table.geomean_lines(summed(ROWS))
        self.assertRegex(lines[1], r"^geomean macro/embedded1 +pymalloc +2 +"
                         r"1\.265 \[.*\] +0\.866 \[.*\] +- +0\.800 lists +"
                         r"1\.500 lists$")
        self.assertEqual(len(lines), 3)

    def test_what_stays_stands_beside_the_peak(self):
        rows = [{**row, "after_kb": row["peak_kb"] // 2} for row in ROWS]
        summary = summed(rows)[ONE]["pymalloc"]
        self.assertAlmostEqual(summary.rows[0].after.middle, 0.5)
        self.assertAlmostEqual(summary.after.middle, 0.75 ** 0.5)
        text = table.document(results.collate(rows), summed(rows), ["facts"],
                              [], True)
        self.assertRegex(text, r"\| json +\| +10\.0 ms \| +0\.5 \| +0\.2 \|")
        self.assertRegex(text, r"peak MiB \| after MiB \| .*memory pymalloc \|"
                         r".*after pymalloc \|")

    def test_losses_are_those_that_are_sure(self):
        noisy = []
        for number, time in enumerate((5, 9, 12)):
            noisy += [support.entry(f"{ONE}/noisy/pimalloc", number, 10),
                      support.entry(f"{ONE}/noisy/pymalloc", number, time)]
        rows = table.loss_rows(summed(ROWS + noisy))
        self.assertEqual([cells[:3] for cells in rows[1:]],
                         [[ONE, "lists", "pymalloc"]])
        self.assertIn("0.800", rows[1][3])
        self.assertIn("1.500", rows[1][4])

    def test_programs_that_had_to_wait_are_said(self):
        rows = [{**row, "cpu_share": 0.8} for row in ROWS]
        self.assertIn("80% of the processors", table.share_lines(rows)[0])
        rows = [{**row, "cpu_share": 0.99} for row in ROWS]
        self.assertEqual(table.share_lines(rows), [])

    def test_markdown_has_all_rows(self):
        text = table.document(results.collate(ROWS), summed(ROWS), ["facts"],
                              ["micro/x: not run, no module"], True)
        self.assertIn("## macro/embedded1", text)
        self.assertRegex(text, r"\| json +\| +10\.0 ms \| +0\.5 \| "
                         r"2\.00 \[2\.00, 2\.00\] \|")
        self.assertIn("micro/x: not run, no module", text)
        widths = {line.count("|") for line in text.splitlines()
                  if line.startswith(("| json", "| lists"))}
        self.assertEqual(len(widths), 1)


def drawn(rows):
    collated = results.collate(rows)
    words = dict.fromkeys(collated, "a < b & c")
    return chart.draw(collated, RANKED, words, words)


class Charts(unittest.TestCase):

    def test_there_is_one_for_time_and_one_for_memory(self):
        self.assertEqual(list(drawn(ROWS)), ["macro-embedded1-time.svg",
                                             "macro-embedded1-memory.svg"])
        micro = rows_of("micro", "pair/32", {"pimalloc": 1, "pymalloc": 2})
        self.assertEqual(list(drawn(micro)), ["micro-time.svg"])

    def test_what_stays_has_one_of_its_own(self):
        rows = [{**row, "after_kb": row["peak_kb"]} for row in ROWS]
        self.assertEqual(list(drawn(rows))[-1], "macro-embedded1-after.svg")
        collated = results.collate(rows)
        words = dict.fromkeys(collated, "")
        self.assertEqual(list(chart.draw(collated, RANKED, words, words,
                                         {ONE})),
                         ["macro-embedded1-time.svg"])

    def test_they_are_well_formed_and_say_their_figures(self):
        for svg in drawn(ROWS).values():
            root = ElementTree.fromstring(svg)
            titles = [title.text for title in
                      root.iter("{http://www.w3.org/2000/svg}title")]
            self.assertIn("a < b & c", titles[0])
            self.assertEqual(len(titles), 1 + 3 * 2)  # and the mean
        self.assertIn("json, pimalloc: 0.500 [0.500, 0.500]", titles)

    def test_bars_begin_at_one_and_are_as_long_as_the_gain(self):
        line = chart.Line("x", {"pimalloc": chart.median_interval([2.0])})
        slow = chart.Line("y", {"pimalloc": chart.median_interval([0.5])})
        one = chart.Chart(chart.TIME, "", "", [line, slow], ["pimalloc"])
        bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" '
                          r'height="10"', one.svg())
        (x1, width1), (x2, width2) = [tuple(map(float, bar)) for bar in bars]
        self.assertAlmostEqual(x1, one.axis.x(1), delta=0.1)
        self.assertAlmostEqual(x2 + width2, one.axis.x(1), delta=0.1)
        self.assertAlmostEqual(width1, width2, delta=0.2)

    def test_everything_is_inside(self):
        rows = ROWS + rows_of(ONE, "x", {"pimalloc": 1000, "pymalloc": 1,
                                         "glibc": 3000})
        svg = drawn(rows)["macro-embedded1-time.svg"]
        for x in re.findall(r' (?:x|x1|x2|cx)="(-?[\d.]+)"', svg):
            self.assertTrue(0 <= float(x) <= chart.WIDTH, x)

    def test_ticks_have_room(self):
        for values in ((0.9, 1.2), (0.01, 3.0), (1.0, 1.01), (0.3, 40)):
            axis = chart.Axis(values, 150, 800)
            ticks = axis.ticks()
            self.assertIn(1, ticks)
            self.assertGreaterEqual(len(ticks), 3)
            for first, second in zip(ticks, ticks[1:]):
                self.assertGreaterEqual(axis.x(second) - axis.x(first),
                                        chart.TICK_SPACE)

    def test_many_rows_are_spread_but_patterns_stay_together(self):
        rows = []
        for pattern in "abcde":
            for size in range(14):
                rows += rows_of("micro", f"{pattern}/{size}",
                                {"pimalloc": 1, "pymalloc": 2}, rounds=1)
        charts = drawn(rows)
        self.assertEqual(list(charts), [f"micro-time-{number}.svg"
                                        for number in (1, 2, 3)])
        for pattern in "abcde":
            self.assertEqual(sum(f">{pattern}/0<" in svg
                                 for svg in charts.values()), 1)
            self.assertTrue(any(all(f">{pattern}/{size}<" in svg
                                    for size in range(14))
                                for svg in charts.values()))

    def test_a_rival_of_any_name_has_a_mark(self):
        rows = rows_of(ONE, "x", {"pimalloc": 1, "pymalloc": 1,
                                  "snmalloc": 2, "other": 3})
        collated = results.collate(rows)
        svg = chart.draw(collated, RANKED + ["snmalloc", "other"],
                         {ONE: ""}, {ONE: ""})["macro-embedded1-time.svg"]
        self.assertIn("x, snmalloc: 0.500", svg)
        self.assertIn("x, other: 0.333", svg)


if __name__ == "__main__":
    unittest.main()
