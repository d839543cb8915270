"""Shortest ways through a road map, by Dijkstra's algorithm and a heap.

The map is a dict of dicts that stays; the searches make tuples, dicts and
paths that go.
"""

import heapq
import random

LOOPS = 2
SIDE = 190


def setup():
    rng = random.Random(42)
    roads = {}
    for x in range(SIDE):
        for y in range(SIDE):
            here = roads.setdefault((x, y), {})
            for dx, dy in ((1, 0), (0, 1), (1, 1)):
                there = (x + dx, y + dy)
                if max(there) < SIDE and rng.random() < 0.9:
                    length = rng.randrange(100, 900) / 10
                    here[there] = length
                    roads.setdefault(there, {})[x, y] = length
    starts = [(rng.randrange(SIDE), rng.randrange(SIDE)) for _ in range(2)]
    return roads, starts


def search(roads, start):
    """The way lengths from `start`, and where each best way comes from."""
    lengths = {start: 0.0}
    before = {}
    done = set()
    heap = [(0.0, start)]
    while heap:
        length, place = heapq.heappop(heap)
        if place in done:
            continue
        done.add(place)
        for neighbour, road in roads[place].items():
            whole = length + road
            if whole < lengths.get(neighbour, 1e9):
                lengths[neighbour] = whole
                before[neighbour] = place
                heapq.heappush(heap, (whole, neighbour))
    return lengths, before


def run(data):
    roads, starts = data
    farthest = steps = 0
    for start in starts:
        lengths, before = search(roads, start)
        farthest = max(farthest, max(lengths.values()))
        for place in list(lengths)[::37]:
            path = [place]
            while path[-1] in before:
                path.append(before[path[-1]])
            steps += len(path)
    return f"{len(roads)} {farthest:.1f} {steps}"
