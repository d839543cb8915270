#!/usr/bin/env python3
"""usage: process.py [--requests N] [--pause SECONDS] [--allocator NAME]

One process that serves requests in bursts, over eight minutes of its own clock.

    minute   0 .......... 1 .......... 2 ..........
             |burst|idle  |burst|idle  |burst|idle
    seconds  10     50

In a burst requests come in, 32 are under way at once, and each does a step in
turn, as in a server with an event loop: what one has allocated lies among what
the others have.  Between bursts there is housekeeping: once a second of the own
clock, a little, and a short sleep.  Sessions and a cache stay, are replaced and
expire.  A few requests are large.

The time of a request is the processor time of its own steps.  Resident memory
is looked at once a second of the own clock.  The output is one JSON object.

  --requests N      in a burst of the usual size (default: 250)
  --pause SECONDS   that idle lasts, really (default: 1.2); what allocators do
                    with clocks of their own they do by this
  --allocator NAME  fail unless this is the allocator in use
  --help            this text
"""

# What the service would import anyway; all of it before the first look.
import csv
import io
import json
import os
import random
import re
import sys
import time
import zlib
from collections import OrderedDict, defaultdict

MINUTES = 8
BURST_SECONDS, IDLE_SECONDS = 10, 50
BURSTS = (1.0, 0.6, 1.6, 0.8, 0.4, 2.0, 0.6, 1.0)  # of the usual size
UNDER_WAY = 32
RECORDS = 10000
CACHED = 600
SESSION_SECONDS = 150
STATM = os.open("/proc/self/statm", os.O_RDONLY)
WORDS = re.compile(r"\b([a-z]{4,})(\d*)\b")


class Session:
    def __init__(self, user, now):
        self.user = user
        self.seen = now
        self.pages = []
        self.basket = {}


class Service:
    """The state of the process."""

    def __init__(self):
        self.random = random.Random(31)
        self.records = [
            {"id": number, "name": f"item {number}", "price": number % 997 / 7,
             "tags": [f"tag{number % 31}", f"tag{number % 57}"],
             "text": " ".join(f"word{(number * k) % 613}" for k in range(12))}
            for number in range(RECORDS)]
        self.sessions = {}
        self.cache = OrderedDict()
        self.now = 0.0
        self.served = 0
        self.digest = 0

    def sample(self, count):
        start = self.random.randrange(RECORDS - count)
        return self.records[start:start + count]

    def note(self, body):
        self.served += 1
        self.digest = zlib.crc32(body.encode(), self.digest)

    def keep(self, key, body):
        self.cache[key] = body
        if len(self.cache) > CACHED:
            self.cache.popitem(last=False)

    def session(self):
        user = self.random.randrange(2500)
        found = self.sessions.get(user)
        if found is None:
            found = self.sessions[user] = Session(user, self.now)
        found.seen = self.now
        found.pages.append(f"/page/{self.served}")
        return found

    def housekeeping(self):
        """Once a second: sessions expire, figures are reported."""
        old = [user for user, session in self.sessions.items()
               if self.now - session.seen > SESSION_SECONDS]
        for user in old:
            del self.sessions[user]
        json.dumps({"sessions": len(self.sessions), "cached": len(self.cache),
                    "expired": old, "at": self.now})


# --- requests: generators that yield after each step --------------------------

def page(service):
    session = service.session()
    records = service.sample(service.random.randrange(40, 120))
    yield
    rows = [{"name": record["name"], "price": f"{record['price']:.2f}",
             "tags": ", ".join(record["tags"])} for record in records]
    yield
    parts = [f"<tr><td>{row['name']}</td><td>{row['price']}</td>"
             f"<td>{row['tags']}</td></tr>" for row in rows]
    session.basket[rows[0]["name"]] = (rows[0]["price"], len(parts))
    yield
    body = "\n".join(["<table>", *parts, "</table>"])
    service.keep(rows[0]["name"], body)
    service.note(body)


def api(service):
    records = service.sample(service.random.randrange(100, 300))
    text = json.dumps(records)
    yield
    rows = json.loads(text)
    for row in rows:
        row["price"] = round(row["price"] * 1.19, 2)
        row["words"] = row.pop("text").split()
    yield
    service.note(json.dumps([row for row in rows if row["price"] > 20]))


def search(service):
    records = service.sample(600)
    found = defaultdict(list)
    for record in records:
        for word, digits in WORDS.findall(record["text"]):
            found[word + digits].append(record["id"])
    yield
    ranked = sorted(found, key=lambda word: (-len(found[word]), word))
    yield
    best = {word: sorted(set(found[word]))[:20] for word in ranked[:150]}
    service.keep(ranked[0], best)
    service.note(json.dumps(best))


def report(service):
    out = io.StringIO()
    writer = csv.writer(out)
    groups = defaultdict(list)
    for record in service.records:
        for tag in record["tags"]:
            groups[tag].append((record["price"], record["name"]))
    yield
    rows = [(tag, price, name, f"{price * 1.19:.2f}")
            for tag, prices in groups.items() for price, name in prices]
    rows.sort()
    yield
    writer.writerows(rows)
    yield
    service.note(out.getvalue())


# --- time ---------------------------------------------------------------------

def arriving(service, count):
    """Which requests come in a burst."""
    return service.random.choices((page, api, search, report),
                                  (60, 27, 11, 2), k=count)


def resident_kb():
    """Resident memory now."""
    pages = int(os.pread(STATM, 100, 0).split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def peak_kb():
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def burst(service, count, seconds, seen):
    """Serves `count` requests; their processor times go to `seconds`."""
    waiting = arriving(service, count)
    waiting.reverse()
    clock = time.thread_time
    under_way, done, looks = [], 0, 0
    while waiting or under_way:
        while waiting and len(under_way) < UNDER_WAY:
            under_way.append([waiting.pop()(service), 0.0])
        still = []
        for one in under_way:
            began = clock()
            ended = next(one[0], "end") == "end"
            one[1] += clock() - began
            if ended:
                seconds.append(one[1])
                done += 1
            else:
                still.append(one)
        under_way = still
        while looks < BURST_SECONDS and done * BURST_SECONDS >= (
                looks + 1) * count:
            looks += 1
            service.now += 1
            seen.append(resident_kb())


def idle(service, pause, seen):
    for _ in range(IDLE_SECONDS):
        service.now += 1
        service.housekeeping()
        time.sleep(pause / IDLE_SECONDS)
        seen.append(resident_kb())


def serve(requests, pause):
    """All of it; what the JSON says."""
    service = Service()
    start_kb = resident_kb()
    seconds, seen = [], []
    began, cpu_began = time.perf_counter(), time.thread_time()
    for size in BURSTS:
        burst(service, max(UNDER_WAY, round(requests * size)), seconds, seen)
        idle(service, pause, seen)
    cpu, wall = time.thread_time() - cpu_began, time.perf_counter() - began
    seconds.sort()
    return {"python": sys.version.split()[0], "served": service.served,
            "digest": str(service.digest), "start_kb": start_kb,
            "peak_kb": max(peak_kb(), *seen), "after_kb": seen[-1],
            "resident_kb": seen, "cpu_s": cpu, "wall_s": wall,
            "p50_s": seconds[len(seconds) // 2],
            "p99_s": seconds[len(seconds) * 99 // 100],
            "mean_s": sum(seconds) / len(seconds)}


def parse_arguments(words):
    options = {"--requests": "250", "--pause": "1.2", "--allocator": None}
    parts = [part for word in words for part in word.split("=", 1)]
    if "--help" in parts:
        print(__doc__, end="")
        sys.exit()
    while parts:
        name = parts.pop(0)
        if name not in options or not parts:
            sys.exit(f"process.py: {name}: unknown, or without a value (see "
                     "--help)")
        options[name] = parts.pop(0)
    try:
        return (max(1, int(options["--requests"])), float(options["--pause"]),
                options["--allocator"])
    except ValueError:
        sys.exit("process.py: --requests and --pause want numbers")


def main():
    requests, pause, wanted = parse_arguments(sys.argv[1:])
    result = serve(requests, pause)
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))), "macro"))
    import worker
    try:
        allocator = worker.check_allocator(wanted)
    except worker.Failure as error:
        sys.exit(f"process.py: {error}")
    print(json.dumps({**result, "allocator": allocator}))


if __name__ == "__main__":
    main()
