"""What Python does inside each host: enough to see who serves its memory.

A host imports this module, calls answer() and hands the result back in its own
way.  It is the same with every allocator, the digest also with every Python.
"""

import ctypes
import json
import os
import platform
import re
import threading
import zlib

COUNT = 8_000
KEPT = []  # stays alive: live blocks for a look at the statistics


def build(seed):
    """A tree of small objects, through several of CPython's allocators."""
    table = {f"key {seed} {n}": [n, n / 7, (n, f"value {n}"), {"n": n}]
             for n in range(COUNT)}
    text = json.dumps(table, sort_keys=True)
    again = json.loads(text)
    words = re.findall(r"value \d+", text)
    large = bytearray(text.encode() * 3)  # blocks beyond the small classes
    large += b"." * 1_000_000
    return again, zlib.crc32(large, zlib.crc32(" ".join(words).encode()))


def asking_threads():
    """How many threads ask CPython for their thread state although pimalloc reads it
    from memory; 0 without pimalloc.
    """
    write = getattr(ctypes.CDLL(None), "pimalloc_stats_write", None)
    if write is None:
        return 0
    with open(os.memfd_create("statistics"), "w+", encoding="utf-8") as file:
        write(file.fileno(), 1)  # PIMALLOC_JSON
        file.seek(0)
        found = json.load(file)["thread_state"]
    return found["threads"]["call"] if found["found_by"] == "word" else 0


def answer():
    """{"python": version, "digest": text, "asking": number of threads}"""
    digests = {}

    def in_thread(seed):
        tree, digests[seed] = build(seed)
        KEPT.append(tree)

    in_thread(0)
    threads = [threading.Thread(target=in_thread, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digest = " ".join(f"{digests[seed]:08x}" for seed in sorted(digests))
    del KEPT[1:]
    return {"python": platform.python_version(), "digest": digest,
            "asking": asking_threads()}
