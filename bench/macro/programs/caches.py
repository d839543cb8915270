"""Caches that lose their oldest entries: functools.lru_cache and sessions.

Each entry is a string key with a dict or a list as its value; entries come in
and go in an order that has nothing to do with their addresses.
"""

import collections
import functools
import random

LOOPS = 2
REQUESTS = 48000
SESSIONS = 16000


def setup():
    rng = random.Random(39)
    return [(int(50000 * rng.random() ** 1.7), rng.randrange(3000))
            for _ in range(REQUESTS)]


class Sessions:
    def __init__(self, limit):
        self.limit = limit
        self.entries = collections.OrderedDict()
        self.made = 0

    def get(self, key):
        session = self.entries.get(key)
        if session is None:
            self.made += 1
            session = {"user": key, "basket": [], "token": f"{key}/{self.made}",
                       "seen": {}}
            self.entries[key] = session
            if len(self.entries) > self.limit:
                self.entries.popitem(last=False)
        else:
            self.entries.move_to_end(key)
        return session


def run(requests):
    @functools.lru_cache(maxsize=2500)
    def describe(product):
        return {"name": f"product {product}", "stock": product % 50,
                "words": [f"w{product * k % 997}" for k in range(8)]}

    sessions = Sessions(SESSIONS)
    empty = 0
    for user, product in requests:
        session = sessions.get(f"user-{user:05}")
        details = describe(product)
        if details["stock"]:
            session["basket"].append((product, details["name"]))
            session["seen"][details["words"][0]] = product
            if len(session["basket"]) > 20:
                del session["basket"][:10]
        else:
            empty += 1
    info = describe.cache_info()
    baskets = sum(len(entry["basket"]) for entry in sessions.entries.values())
    return f"{sessions.made} {info.hits} {empty} {baskets}"
