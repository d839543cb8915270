"""What Python does inside each host: enough to see who serves its memory.

A host imports this module, calls answer() and hands the result back in its own
way.  The digest is the same with every Python and every allocator.
"""

import json
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


def answer():
    """{"python": version, "digest": text}"""
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
    return {"python": platform.python_version(), "digest": digest}
