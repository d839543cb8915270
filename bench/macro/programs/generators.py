"""Measurements flow through generators and comprehensions.

pyperformance: generators, comprehensions and coroutines.
"""

import itertools
import random

LOOPS = 10
SAMPLES = 24000


class Tree:
    """A search tree that is walked by nested generators."""

    def __init__(self, values):
        middle = len(values) // 2
        self.value = values[middle]
        self.left = Tree(values[:middle]) if middle else None
        self.right = Tree(values[middle + 1:]) if values[middle + 1:] else None

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.value
        if self.right:
            yield from self.right


def parsed(lines):
    for line in lines:
        sensor, value = line.split("=")
        yield sensor, float(value)


def smoothed(readings, weight):
    state = {}
    for sensor, value in readings:
        state[sensor] = value = (
            value * weight + state.get(sensor, value) * (1 - weight))
        yield sensor, value


def batches(items, size):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def setup():
    rng = random.Random(36)
    return [f"sensor{rng.randrange(200)}={rng.randrange(10**6) / 1000}"
            for _ in range(SAMPLES)]


def run(lines):
    high = 0
    totals = {}
    for batch in batches(smoothed(parsed(lines), 0.25), 100):
        high += len([value for _, value in batch if value > 600])
        sums = {sensor: sum(v for s, v in batch if s == sensor)
                for sensor in {sensor for sensor, _ in batch[:4]}}
        for sensor, value in sums.items():
            totals[sensor] = totals.get(sensor, 0) + value
    tree = Tree(sorted({line for line in lines}))
    order = sum(index * (len(line) % 3) for index, line in enumerate(tree))
    return f"{high} {len(totals)} {sum(totals.values()):.3f} {order}"
