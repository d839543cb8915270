"""Many small lists grow at the same time.

Edges become adjacency lists and measurements are put into buckets: lists that
are appended to in turn, so that each grows in small steps among the others.
"""

import random

LOOPS = 3
NODES = 24000
EDGES = 150000


def setup():
    rng = random.Random(19)
    return [(int(NODES * rng.random() ** 2), rng.randrange(NODES))
            for _ in range(EDGES)]


def run(edges):
    neighbours = [[] for _ in range(NODES)]
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    buckets = {}
    for a, b in edges:
        buckets.setdefault((a ^ b) % 1009, []).append(a + b)
    wide = [[node, len(around), around[:3]]
            for node, around in enumerate(neighbours)]
    seen = [False] * NODES
    parts = []
    for start in range(NODES):
        part = []
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if not seen[node]:
                seen[node] = True
                part.append(node)
                waiting.extend(neighbours[node])
        if part:
            parts.append(part)
    total = sum(bucket[-1] for bucket in buckets.values())
    return f"{len(parts)} {len(parts[0])} {max(wide)[1]} {total}"
