"""Rows as tuples and named tuples are sorted, grouped, ranked and merged.

What reports are made of.  Tuples of two to six, many alive at a time.
"""

import collections
import heapq
import itertools
import operator
import random

LOOPS = 4
ROWS = 30000

Sale = collections.namedtuple("Sale", "region product month count price")


def setup():
    rng = random.Random(37)
    return [(f"region {rng.randrange(12)}", f"product {rng.randrange(400)}",
             rng.randrange(1, 13), rng.randrange(1, 100),
             rng.randrange(10**5) / 100) for _ in range(ROWS)]


def run(rows):
    sales = [Sale(*row) for row in rows]
    sales.sort(key=lambda sale: (sale.region, sale.product, -sale.price))
    groups = []
    for (region, product), group in itertools.groupby(
            sales, key=operator.attrgetter("region", "product")):
        group = list(group)
        groups.append((sum(sale.count * sale.price for sale in group),
                       region, product, tuple(s.month for s in group)))
    best = sorted(groups, reverse=True)[:20]
    monthly = [sorted((sale.price, sale.product, sale.count)
                      for sale in sales if sale.month == month)
               for month in (1, 5, 9)]
    merged = list(heapq.merge(*monthly))
    discounted = [sale._replace(price=round(sale.price * 0.9, 2))
                  for sale in sales if sale.count > 50]
    pairs = dict(zip(map(operator.itemgetter(1, 2), groups), groups))
    return (f"{len(groups)} {best[0][2]} {merged[100][0]} {len(pairs)} "
            f"{sum(sale.count for sale in discounted)}")
