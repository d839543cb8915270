#!/usr/bin/env python3
"""Early, late and slope of aged processes, and their charts."""

import re
import unittest
import xml.etree.ElementTree as ElementTree

import support
from lib import aged, lines
from lib.options import chosen_groups

RANKED = ["pimalloc", "pymalloc"]


def entry(name, laps, number=0, group=aged.STOCK):
    return support.entry(f"{group}/{name}", number, sorted(laps[-10:])[5],
                         early_ms=sorted(laps[1:4])[1], laps_ms=laps,
                         slope_percent=aged.slope_percent(laps))


def rising(factor=1.0, share=0.5):
    """By `share` from the 2nd to the 24th; the first is cold."""
    return [99.0, *(factor * (10 + 10 * share * place / 22)
                    for place in range(23))]


class Figures(unittest.TestCase):

    def test_the_slope_is_from_the_second_to_the_last(self):
        self.assertAlmostEqual(aged.slope_percent(rising()), 50.0)
        self.assertAlmostEqual(aged.slope_percent(rising(share=-0.2)), -20.0)

    def test_a_few_collections_do_not_change_it(self):
        laps = rising()
        for place in (3, 11, 22):
            laps[place] *= 4
        self.assertAlmostEqual(aged.slope_percent(laps), 50.0, delta=3.0)

    def test_a_table_has_early_late_and_slope(self):
        rows = [entry("json/pimalloc", rising()),
                entry("json/pymalloc", rising(2.0, share=0.0))]
        ((group, table),) = aged.cells(rows, RANKED).items()
        self.assertEqual(group, aged.STOCK)
        self.assertEqual(table[0], [aged.STOCK, "pimalloc", "pymalloc"])
        self.assertEqual(table[1][0], "json")
        self.assertEqual(table[1][1].split(), ["10.2", "14.1", "+50", "%"])
        self.assertEqual(table[2][1].split(), ["0.511", "0.705", "+50", "%"])
        self.assertEqual(table[2][2].split(), ["1.000", "1.000", "+0", "%"])

    def test_other_rows_are_passed_over(self):
        rows = [support.entry("macro/stock/json/pimalloc", 0, 1.0)]
        self.assertEqual(aged.cells(rows, RANKED), {})
        self.assertEqual(aged.draw(rows, RANKED, {}, {}), {})

    def test_groups_are_chosen_by_name(self):
        self.assertEqual(chosen_groups(["aged"]), [aged.STOCK, aged.EMBEDDED])
        self.assertEqual(chosen_groups(["aged/stock"]), [aged.STOCK])
        self.assertEqual(chosen_groups(["stock"]), ["macro/stock"])


class Charts(unittest.TestCase):

    def drawn(self):
        rows = [entry(f"{name}/{allocator}", rising(factor), number)
                for name in ("json", "a<b") for number in range(3)
                for allocator, factor in (("pimalloc", 1 + number / 100),
                                          ("pymalloc", 2.0))]
        words = {aged.STOCK: "aged & more"}
        return aged.draw(rows, RANKED, words, words)

    def test_each_row_has_a_panel_and_each_allocator_a_line(self):
        ((name, svg),) = self.drawn().items()
        self.assertEqual(name, "aged-stock-repetitions.svg")
        root = ElementTree.fromstring(svg)
        titles = [title.text for title in
                  root.iter("{http://www.w3.org/2000/svg}title")]
        self.assertEqual(titles[1:], [
            "json, pymalloc: 99 to 30 ms", "json, pimalloc: 99 to 15.15 ms",
            "a<b, pymalloc: 99 to 30 ms", "a<b, pimalloc: 99 to 15.15 ms"])

    def test_all_is_inside_though_a_few_values_are_cut(self):
        (svg,) = self.drawn().values()
        height = float(re.search(r'height="([\d.]+)"', svg).group(1))
        for spots in re.findall(r'points="([^"]+)"', svg):
            for x, y in (spot.split(",") for spot in spots.split()):
                self.assertTrue(0 <= float(x) <= lines.WIDTH, x)
                self.assertTrue(0 <= float(y) <= height, y)
        low, high = lines.bounds([rising(2.0)], outside=1 / 6)
        self.assertLess(high, 40)
        self.assertGreater(lines.bounds([rising(2.0)], outside=0)[1], 99)
        self.assertLess(low, 20)

    def test_steady_lines_do_not_fill_a_panel_with_noise(self):
        low, high = lines.bounds([[100.0, 100.1]], 0)
        self.assertGreater(high - low, 9)

    def test_ticks_are_round_and_few(self):
        for low, high in ((0.2, 1.7), (21.0, 29.0), (24000.0, 36500.0),
                          (0.0, 1.0)):
            ticks = lines.y_ticks(low, high)
            self.assertTrue(2 <= len(ticks) <= lines.TICKS_AT_MOST, ticks)
            self.assertTrue(all(low <= tick <= high for tick in ticks))

    def test_a_gap_parts_a_line(self):
        self.assertEqual(lines.runs_of([(1, 2.0), (2, None), (3, 4.0)]),
                         [[(1, 2.0)], [(3, 4.0)]])


if __name__ == "__main__":
    unittest.main()
