#!/usr/bin/env python3
"""Check that the preload library can be loaded into programs of other C libraries.

  check_symbols.py LIBRARY

Child processes inherit LD_PRELOAD, and a loader that misses one symbol ends them.  So
what the library needs must be in musl (musl-symbols.txt) or be a weak reference, its
only dependency is libc.so.6, which musl takes for itself, and what it needs of glibc is
not newer than GLIBC_MAX.  Exits with 1 for each breach, with 77 if there is no nm.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

MUSL = Path(__file__).with_name("musl-symbols.txt")
GLIBC_MAX = (2, 34)  # dlopen() and threads moved into libc.so.6; docs/preload.md says so


def needed(library):
    text = subprocess.run(["readelf", "-d", library], capture_output=True, text=True,
                          check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


def undefined(library):
    """Yields name, version or None, and whether the reference is weak."""
    text = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True,
                          text=True, check=True).stdout
    for line in text.splitlines():
        kind, symbol = line.split()[-2:]
        name, _, version = symbol.partition("@")
        yield name, version.lstrip("@") or None, kind == "w"


def breaches(library):
    musl = {name for line in MUSL.read_text(encoding="ascii").splitlines()
            if not line.startswith("#") for name in line.split()}
    for name in needed(library):
        if name != "libc.so.6":
            yield f"depends on {name}, which other C libraries do not have"
    count = 0
    for name, version, is_weak in undefined(library):
        count += 1
        if not is_weak and name not in musl:
            yield f"{name} is not in musl; refer to it weakly or look it up (src/preload/foreign.c)"
        match = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version or "")
        if match and tuple(map(int, match.groups())) > GLIBC_MAX:
            yield f"{name} is of {version}, newer than GLIBC_{GLIBC_MAX[0]}.{GLIBC_MAX[1]}"
    if count < 50:
        yield f"only {count} symbols were found: does check_symbols.py still read nm rightly?"


def main():
    if not shutil.which("nm") or not shutil.which("readelf"):
        print("nm and readelf are not installed")
        sys.exit(77)
    found = list(breaches(sys.argv[1]))
    for breach in found:
        print(f"{sys.argv[1]}: {breach}")
    print(f"check_symbols: {len(found)} breaches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
