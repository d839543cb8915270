"""Buffers and lists that grow to megabytes: a log is packed and unpacked.

Records are appended to a bytearray, a list, an array and a str, none of which
knows how large it will be; struct reads them back.
"""

import array
import struct

LOOPS = 3
RECORDS = 150000

RECORD = struct.Struct("<IHHd")


def setup():
    return RECORDS


def run(count):
    log = bytearray()
    index = []
    times = array.array("d")
    for number in range(count):
        index.append(len(log))
        times.append(number * 0.25)
        log += RECORD.pack(number, number % 50, number % 7, times[-1])
        log += b"payload-%d;" % (number % 1000)
        if number % 5 == 0:
            log += bytes(number % 200)
    values = []
    for offset in index:
        number, kind, level, when = RECORD.unpack_from(log, offset)
        if level == 3:
            values.append((number, kind, when))
    frozen = bytes(log)
    text = frozen.decode("latin-1")
    shown = ""
    for part in text[:300000].split(";"):
        shown += part[-9:]
    wide = []
    for offset in index:
        wide += (offset, offset + 1, -offset)
    return (f"{len(frozen)} {len(values)} {values[-1][0]} {len(shown)} "
            f"{len(wide)} {sum(times):.2f}")
