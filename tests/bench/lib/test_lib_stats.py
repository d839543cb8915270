#!/usr/bin/env python3
"""The intervals are those of the textbooks, and hold what they promise."""

import random
import unittest

import support  # noqa: F401  (finds bench/lib)
from lib import stats


class Medians(unittest.TestCase):

    def test_ranks_are_those_of_the_sign_test(self):
        for count, rank in ((5, 1), (6, 1), (8, 1), (9, 2), (10, 2), (12, 3),
                            (15, 4), (20, 6), (25, 8), (30, 10)):
            self.assertEqual(stats.median_rank(count), rank, count)

    def test_one_value_has_no_interval(self):
        self.assertEqual(stats.median_interval([3.0]), (3.0, None, None))

    def test_few_values_are_bounded_by_their_range(self):
        self.assertEqual(stats.median_interval([3.0, 1.0, 2.0]),
                         (2.0, 1.0, 3.0))

    def test_and_are_called_so(self):
        self.assertEqual(stats.interval_words(5), "range of 5 rounds")
        self.assertEqual(stats.interval_words(6), "95 % interval")

    def test_an_outlier_does_not_reach_the_interval(self):
        middle, low, high = stats.median_interval([1.0] * 9 + [50.0])
        self.assertEqual((middle, low, high), (1.0, 1.0, 1.0))

    def test_the_median_is_inside_as_often_as_promised(self):
        source = random.Random(3)
        inside = 0
        for _ in range(2000):
            values = [source.expovariate(1) for _ in range(10)]
            _, low, high = stats.median_interval(values)
            inside += low <= 0.6931 <= high
        self.assertGreaterEqual(inside / 2000, 0.95)


class GeometricMeans(unittest.TestCase):

    def test_of_equal_rounds_it_is_certain(self):
        rows = [[2.0] * 5, [0.5] * 5, [8.0] * 5]
        for bound in stats.geomean_interval(rows):
            self.assertAlmostEqual(bound, 2.0)

    def test_one_round_has_no_interval(self):
        middle, low, high = stats.geomean_interval([[4.0], [9.0]])
        self.assertAlmostEqual(middle, 6.0)
        self.assertIsNone(low)
        self.assertIsNone(high)

    def test_the_same_question_has_the_same_answer(self):
        rows = [[1.0, 1.1, 1.3, 1.2], [0.9, 1.0, 0.8, 1.4]]
        self.assertEqual(stats.geomean_interval(rows),
                         stats.geomean_interval(rows))

    def test_a_bad_round_hits_all_rows_together(self):
        apart = [[1.0, 1.0, 1.5], [1.0, 1.5, 1.0], [1.5, 1.0, 1.0]]
        together = [[1.0, 1.0, 1.5]] * 3
        self.assertGreaterEqual(stats.geomean_interval(together).high,
                                stats.geomean_interval(apart).high)

    def test_a_row_that_was_not_always_run_counts(self):
        middle = stats.geomean_interval([[4.0, None, 4.0], [9.0] * 3]).middle
        self.assertAlmostEqual(middle, 6.0)

    def test_small_numbers_of_rounds_widen_it(self):
        self.assertLess(stats.expanded_tail(3), stats.expanded_tail(10))
        self.assertLess(stats.expanded_tail(10), 0.025)
        self.assertAlmostEqual(stats.expanded_tail(1000), 0.025, places=3)

    def test_the_mean_is_inside_as_often_as_promised(self):
        source = random.Random(5)
        inside = 0
        for _ in range(150):
            rows = [[source.lognormvariate(0, 0.1) for _ in range(10)]
                    for _ in range(6)]
            _, low, high = stats.geomean_interval(rows)
            inside += low <= 1.0 <= high
        self.assertGreaterEqual(inside / 150, 0.92)


class TwoFiles(unittest.TestCase):

    def test_ranks_are_those_of_mann_and_whitney(self):
        for first, second, critical in ((4, 4, 0), (5, 5, 2), (8, 8, 13),
                                        (5, 8, 6), (10, 10, 23), (20, 20, 127)):
            self.assertEqual(stats.pair_rank(first, second), critical + 1)

    def test_large_numbers_are_near_the_exact_ranks(self):
        self.assertAlmostEqual(stats.pair_rank(30, 30),
                               stats.pair_rank(30, 31), delta=20)

    def test_four_runs_in_each_are_enough(self):
        for first, second, enough in ((1, 1, False), (3, 3, False),
                                      (3, 4, False), (4, 4, True),
                                      (1, 50, False)):
            self.assertEqual(stats.can_tell(first, second), enough,
                             (first, second))

    def test_twice_is_twice(self):
        self.assertEqual(stats.unpaired_ratio([4.0] * 5, [2.0] * 5),
                         (2.0, 2.0, 2.0))

    def test_one_run_has_no_interval(self):
        self.assertEqual(stats.unpaired_ratio([3.0, 4.0, 5.0], [2.0]),
                         (2.0, None, None))


if __name__ == "__main__":
    unittest.main()
