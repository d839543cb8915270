"""A web server's log is taken apart with regular expressions.

pyperformance: regex_compile, regex_effbot and regex_v8 in one: matching with
groups, substitution with a function, splitting, and compiling.
"""

import random
import re

LOOPS = 13
LINES = 2500
LINE = re.compile(
    r'(?P<host>\d+\.\d+\.\d+\.\d+) \S+ (?P<user>\S+) \[(?P<when>[^]]+)\] '
    r'"(?P<method>[A-Z]+) (?P<path>[^ "?]*)(?:\?(?P<query>[^ "]*))? [^"]*" '
    r'(?P<status>\d{3}) (?P<size>\d+|-)')
NUMBER = re.compile(r"\d+")
PAIR = re.compile(r"([a-z]+)=([^&]*)")
SPACES = re.compile(r"[\s,;:/]+")


def setup():
    rng = random.Random(31)
    lines = []
    for _ in range(LINES):
        query = "&".join(f"{rng.choice(['id', 'page', 'sort', 'q'])}="
                         f"{rng.randrange(1000)}" for _ in range(3))
        lines.append(
            f"10.{rng.randrange(9)}.{rng.randrange(256)}.{rng.randrange(256)} "
            f"- user{rng.randrange(80)} [{rng.randrange(1, 29):02}/Mar/2024:"
            f"{rng.randrange(24):02}:{rng.randrange(60):02}:00 +0000] "
            f'"GET /shop/item-{rng.randrange(500)}/view?{query} HTTP/1.1" '
            f"{rng.choice([200, 200, 200, 304, 404])} {rng.randrange(50000)}")
    return lines


def run(lines):
    sizes = {}
    pairs = 0
    words = set()
    shortest = None
    for line in lines:
        match = LINE.match(line)
        fields = match.groupdict()
        path = NUMBER.sub("N", fields["path"])
        sizes.setdefault((path, fields["status"]), []).append(
            int(fields["size"]))
        found = PAIR.findall(fields["query"])
        pairs += len(found)
        words.update(SPACES.split(fields["when"]))
        masked = NUMBER.sub(lambda number: "#" * len(number[0]), line)
        if shortest is None or len(masked) < len(shortest):
            shortest = masked
    re.purge()
    compiled = [re.compile(rf"item-{number}/(view|edit)\?.*\bid=(\d+)")
                for number in range(12)]
    hits = sum(1 for pattern in compiled for line in lines[:400]
               if pattern.search(line))
    total = sum(map(sum, sizes.values()))
    return f"{len(sizes)} {pairs} {len(words)} {total} {len(shortest)} {hits}"
