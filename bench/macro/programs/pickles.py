"""Objects of a cache are pickled and read back.

pyperformance: pickle, unpickle, pickle_list and pickle_dict.
"""

import pickle
import random

LOOPS = 3
NEEDS = ("_pickle",)
USERS = 12000


class User:
    def __init__(self, number, name, groups, settings):
        self.number = number
        self.name = name
        self.groups = groups
        self.settings = settings


def setup():
    rng = random.Random(13)
    groups = [f"group-{number}" for number in range(40)]
    return [User(number, f"name {rng.randrange(10**6)}",
                 tuple(rng.sample(groups, 3)),
                 {f"key{key}": rng.random() for key in range(4)})
            for number in range(USERS)]


def run(users):
    stored = {user.number: pickle.dumps(user, protocol=5) for user in users}
    loaded = [pickle.loads(stored[number]) for number in sorted(stored)]
    whole = pickle.dumps(loaded, protocol=5)
    again = pickle.loads(whole)
    sizes = sum(map(len, stored.values()))
    return f"{len(again)} {sizes} {again[-1].name} {again[7].groups[0]}"
