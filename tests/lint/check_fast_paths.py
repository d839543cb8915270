#!/usr/bin/env python3
"""Compare the fast paths with the table of instructions in docs/design.md, section 3.

    check_fast_paths.py LIBRARY COMPILER

Counts as the document says: from a function's entry to its first `ret`, with no branch
taken and without padding.  COMPILER is the one that built LIBRARY, as in "GNU 12.2.0";
the table is of one compiler.  Exits with 77 (CTest: skipped) with another one or without
objdump, and with 1 if a count differs.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

DESIGN = Path(__file__).resolve().parents[2] / "docs/design.md"


def table():
    """The compiler of the table, and {function: (instructions, branches)}."""
    text = DESIGN.read_text(encoding="utf-8")
    compiler = re.search(r"\*\*Instructions\*\*.*?: gcc ([\d.]+),", text, re.S).group(1)
    counts = {}
    for names, instructions, branches in re.findall(
            r"^\| (`pim_\w+`(?:, `pim_\w+`)*) \| (\d+) \| (\d+) \|$", text, re.M):
        for name in re.findall(r"\w+", names):
            counts[name] = (int(instructions), int(branches))
    return compiler, counts


def count(library, function):
    done = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}",
                           library], capture_output=True, text=True, check=True)
    instructions = branches = 0
    for mnemonic in re.findall(r"^ +[0-9a-f]+:\t(\w+)", done.stdout, re.M):
        if mnemonic.startswith("nop"):
            continue
        instructions += 1
        branches += mnemonic.startswith("j")
        if mnemonic == "ret":
            return instructions, branches
    raise SystemExit(f"{function} is not in {library}")


def main(library, compiler):
    wanted, counts = table()
    if not compiler.startswith(f"GNU {wanted}") or not shutil.which("objdump"):
        print(f"the table is of gcc {wanted}, the library of {compiler}; or there is no objdump")
        return 77
    different = {name: (count(library, name), there) for name, there in counts.items()
                 if count(library, name) != there}
    for name, (here, there) in different.items():
        print(f"docs/design.md: {name}: {here} instructions and branches, the table has {there}")
    print(f"check_fast_paths: {len(counts)} functions, {len(different)} differ")
    return 1 if different or not counts else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
