"""Six kinds of work in turn: trees, objects, dicts, JSON, and a cache.

Each kind finds a heap that the others have used since its last turn, as in a
process that does more than one thing.  Of what the cache is offered a part
stays, so that its pages never run empty.
"""

import json
import random

LOOPS = 6
NEEDS = ("_json",)


class Pair:
    __slots__ = ("first", "second")

    def __init__(self, first, second):
        self.first = first
        self.second = second


class Customer:
    def __init__(self, number):
        self.number = number
        self.name = f"customer {number}"


class Shop:
    """What stays from one turn to the next."""

    def __init__(self):
        self.random = random.Random(23)
        self.cache = {}


def nested(depth):
    if depth == 0:
        return (None, None)
    return (nested(depth - 1), nested(depth - 1))


def paired(depth):
    if depth == 0:
        return Pair(None, None)
    return Pair(paired(depth - 1), paired(depth - 1))


def size_of(pair):
    if pair.first is None:
        return 1
    return 1 + size_of(pair.first) + size_of(pair.second)


def tuples(_shop):
    return len(nested(14))


def slots(_shop):
    return size_of(paired(14))


def objects(_shop):
    customers = [Customer(number) for number in range(20000)]
    return sum(customer.number for customer in customers)


def dicts(_shop):
    rows = [{"id": number, "label": str(number)} for number in range(15000)]
    return sum(row["id"] for row in rows)


def texts(_shop):
    text = json.dumps([{"id": number, "between": [number, number + 1]}
                       for number in range(6000)])
    return len(json.loads(text))


def cache(shop):
    offered = [(number, f"entry {number}", [number]) for number in range(12000)]
    for _ in range(330):
        # The one that it replaces is of any age.
        shop.cache[shop.random.randrange(2000)] = shop.random.choice(offered)
    return len(offered)


STAGES = (tuples, slots, objects, dicts, texts, cache)


def setup():
    return Shop()


def run(shop):
    return " ".join(str(stage(shop)) for stage in STAGES)
