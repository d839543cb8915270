"""A proxy with a cache: bodies of 512 B to 32 KiB come while others live.

Requests are made up, answered with bytes joined from chunks, some are kept,
some are rewritten in a bytearray, and the oldest go when the cache is full.
"""

import collections
import random
import zlib

LOOPS = 8
REQUESTS = 16000
KEPT = 2500


def setup():
    rng = random.Random(18)
    pages = [(f"/page/{number}",
              int(512 * 2 ** (6 * rng.random() ** 1.5)), rng.randbytes(64))
             for number in range(6000)]
    return [pages[int(len(pages) * rng.random() ** 2)]
            for _ in range(REQUESTS)]


def answer(path, size, seed):
    """The body of a page, read from somewhere in chunks."""
    chunks = [b"<!-- ", path.encode(), b" -->\n"]
    left = size
    while left > 0:
        chunk = seed * min(64, left // 64 + 1)
        chunks.append(chunk[:left])
        left -= len(chunk)
    return b"".join(chunks)


def run(requests):
    cache = collections.OrderedDict()
    sent = hits = check = 0
    for path, size, seed in requests:
        body = cache.get(path)
        if body is None:
            body = answer(path, size, seed)
            cache[path] = body
            if len(cache) > KEPT:
                cache.popitem(last=False)
        else:
            hits += 1
            cache.move_to_end(path)
        packet = bytearray(b"HTTP/1.1 200 OK\r\nContent-Length: ")
        packet += b"%d\r\n\r\n" % len(body)
        packet += body
        packet[-8:] = packet[:8]
        frame = bytes(packet)
        check = zlib.crc32(frame[-256:], check)
        sent += len(frame)
    return f"{hits} {sent} {check:08x}"
