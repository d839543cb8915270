"""Telephone calls are billed with decimal numbers.

pyperformance: telco.  Rates, taxes and rounding half to even, as accountants
want them; every result is a new Decimal.
"""

import random
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

LOOPS = 40
NEEDS = ("_decimal",)
CALLS = 9000


def setup():
    rng = random.Random(33)
    return [int(rng.expovariate(1 / 300)) + 1 for _ in range(CALLS)]


def run(calls):
    cent = Decimal("0.01")
    rates = (Decimal("0.0013"), Decimal("0.00894"))
    basic_tax = Decimal("0.0675")
    far_tax = Decimal("0.0341")
    total = taxes = far_taxes = Decimal(0)
    bills = []
    for seconds in calls:
        far = seconds & 1
        price = (rates[far] * seconds).quantize(cent, ROUND_HALF_EVEN)
        tax = (price * basic_tax).quantize(cent, ROUND_DOWN)
        taxes += tax
        bill = price + tax
        if far:
            tax = (price * far_tax).quantize(cent, ROUND_DOWN)
            far_taxes += tax
            bill += tax
        total += bill
        bills.append(str(bill))
    ratio = (far_taxes / taxes).quantize(Decimal("0.000001"))
    return f"{total} {taxes} {far_taxes} {ratio} {len(''.join(bills))}"
