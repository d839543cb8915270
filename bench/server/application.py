"""The WSGI application that the servers run under load.

What a small service does for one answer: it makes dicts of 2,000 records, reads
a text with regular expressions, writes and reads JSON, and remembers a little
in a cache that lives on.  No two requests of a hundred are alike.

    /            one answer under load; always of the same length
    /?check      an answer that is the same on every allocator, and who gave it
    /?allocator  what Python's memory is served by here; with =NAME, whether it
                 is that one

Nothing is imported for /?allocator until somebody asks: it would be part of
every figure.
"""

import itertools
import json
import os
import re
import sys
import zlib

RECORDS = 2000
LINES = 150               # of the text, for the regular expressions
SHOWN = 200               # records that the JSON has
VARIETY = 100             # seeds of requests
SESSIONS = 500            # entries of the cache
CHECK_SEED = 7

CITIES = ["Aachen", "Bergen", "Cadiz", "Delft", "Evora", "Foggia", "Ghent"]
LINE = re.compile(r"(?P<time>\d+) (?P<level>[A-Z]+) (?P<user>\w+)@(?P<city>\w+)"
                  r": (?P<text>.*)")
DIGITS = re.compile(r"\d+")

requests = itertools.count()
sessions = {}


def make_records(seed):
    """A list of dicts, each with strings, a float and a list of its own."""
    return [{"id": number, "name": f"user {number * 7 + seed}",
             "city": CITIES[(number * seed) % len(CITIES)],
             "price": (number * 37 % 1009) * 1.25 + seed,
             "tags": [number % 3, f"tag {number % 11}"]}
            for number in range(RECORDS)]


def by_city(records):
    found = {}
    for record in records:
        found.setdefault(record["city"], []).append(record["price"])
    return {city: (len(prices), sum(prices)) for city, prices in found.items()}


def read_log(records, seed):
    """Writes a log of some records and reads it again."""
    text = "\n".join(
        f"{seed * 1000 + record['id']} INFO {record['name'].replace(' ', '_')}"
        f"@{record['city']}: paid {record['price']} for {record['tags'][1]}"
        for record in records[:LINES])
    entries = [match.groupdict() for match in LINE.finditer(text)]
    return entries, DIGITS.sub("#", text)


def answer(seed):
    """The work of a request; the digest of what came out."""
    records = make_records(seed)
    cities = by_city(records)
    entries, masked = read_log(records, seed)
    best = sorted(records, key=lambda record: (-record["price"],
                                               record["id"]))[:SHOWN]
    text = json.dumps({"cities": cities, "best": best, "log": entries})
    again = json.loads(text)
    digest = zlib.crc32(masked.encode(), zlib.crc32(text.encode()))
    return f"{digest + len(again['best']):010}", again


def allocator_here(wanted):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import worker
    try:
        return worker.check_allocator(wanted)
    except worker.Failure as failure:
        return str(failure)


def respond(environ):
    query, _, value = environ.get("QUERY_STRING", "").partition("=")
    if query == "allocator":
        return {"allocator": allocator_here(value)}
    if query == "check":
        return {"digest": answer(CHECK_SEED)[0],
                "folder": os.path.dirname(os.path.abspath(__file__)),
                "python": sys.version.split()[0], "pid": os.getpid(),
                "group": environ.get("mod_wsgi.application_group", "")}
    number = next(requests)
    digest, again = answer(number % VARIETY)
    sessions[number * 7919 % SESSIONS] = (number, again["best"][:3], digest)
    return {"digest": digest}


def application(environ, start_response):
    body = json.dumps(respond(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
