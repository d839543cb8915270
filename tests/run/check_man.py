#!/usr/bin/env python3
"""Check the manual pages in docs/man.

  check_man.py lint               with mandoc, else with groff; exits with 77
                                  (CTest: skipped) if neither is installed
  check_man.py complete LAUNCHER  every option of LAUNCHER --help, every variable
                                  of src/api/env_options.c and every function of
                                  the headers is there, and no option too many

Prints one line for each breach and exits with 1 if there is any.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs/man").glob("*.[1-9]"))


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def lint():
    if shutil.which("mandoc"):
        command = ["mandoc", "-T", "lint", "-W", "warning"]
    elif shutil.which("groff"):
        command = ["groff", "-mdoc", "-ww", "-z"]
    else:
        print("neither mandoc nor groff is installed")
        sys.exit(77)
    for page in PAGES:
        done = subprocess.run([*command, page], capture_output=True, text=True, check=False)
        yield from (done.stdout + done.stderr).splitlines()
        if done.returncode != 0 and not (done.stdout or done.stderr):
            yield f"{page.name}: {command[0]} ends with {done.returncode}"


def prototypes(page, header, functions):
    """Each function stands under its own header."""
    synopsis = page[page.index(".Sh SYNOPSIS"):page.index(".Sh DESCRIPTION")]
    _, found, rest = synopsis.partition(f".In pimalloc/{header}\n")
    there = set(re.findall(r"^\.Fn (\w+)", rest.partition("\n.In ")[0], re.M)) if found else set()
    for name in sorted(functions ^ there):
        yield f"pimalloc.3: {name}() is {'not ' * (name in functions)}under {header}"


def errors(page, functions):
    """What may fail is named among the errors, but for what says so of all."""
    section = page[page.index(".Sh ERRORS"):page.index(".Sh SEE ALSO")]
    for returns, name in functions:
        if (returns.strip() == "int" and name not in ("pimalloc_active", "pimalloc_version",
                                                        "pimalloc_next_domain")
                and f"Fn {name}" not in section):
            yield f"pimalloc.3 names no error of {name}()"


def complete(launcher):
    run, library = read("docs/man/pimalloc-run.1"), read("docs/man/pimalloc.3")
    usage = subprocess.run([launcher, "--help"], capture_output=True, text=True,
                           check=True).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", usage, re.M))
    described = {"-" + name for name in re.findall(r"^\.It Fl (-[a-z-]+)", run, re.M)}
    synopsis = {"-" + name for name in re.findall(
        r"Fl (-[a-z-]+)", run[run.index(".Sh SYNOPSIS"):run.index(".Sh DESCRIPTION")])}
    for missing in sorted(options - described):
        yield f"pimalloc-run.1 does not describe {missing}"
    for missing in sorted(options - synopsis):
        yield f"pimalloc-run.1 lacks {missing} in its synopsis"
    for extra in sorted((described | synopsis) - options):
        yield f"pimalloc-run.1 describes {extra}, which --help does not know"

    columns = {match.end() - match.start() for match in
               re.finditer(r"^  --\S+ +(?=\S)", usage, re.M)}
    if len(columns) != 1:
        yield f"--help begins its texts in the columns {sorted(columns)}"

    table = read("src/api/env_options.c")
    table = table[table.index("static const option options[]"):]
    variables = re.findall(r'^    \{"([A-Z_]+)",', table[:table.index("};")], re.M)
    for name in variables:
        if f"PIMALLOC_{name}" not in run + library:
            yield f"no page mentions PIMALLOC_{name}"

    functions = []
    for path in sorted((ROOT / "include/pimalloc").glob("*.h")):
        header = read(path)
        of_header = re.findall(r"^PIMALLOC_EXPORT ([^;(]*?)(pimalloc_\w+)\(", header, re.M)
        functions += [name for _, name in of_header]
        yield from prototypes(library, path.name, {name for _, name in of_header})
        yield from errors(library, of_header)
    config = re.search(r"struct pimalloc_config \{(.*?)^\}", read("include/pimalloc/pimalloc.h"),
                       re.S | re.M)[1]
    for member in re.findall(r"^    [^/;]*?(\w+);", config, re.M):
        if not re.search(rf'^\.It Va ".*\b{member}"', library, re.M):
            yield f"pimalloc.3 does not describe pimalloc_config.{member}"
    for name in functions:
        if not re.search(rf"^\.Fn {name}\b", library[library.index(".Sh DESCRIPTION"):], re.M):
            yield f"pimalloc.3 does not describe {name}()"
    if len(options) < 5 or len(variables) < 4 or len(functions) < 7:
        yield (f"only {len(options)} options, {len(variables)} variables and {len(functions)} "
               "functions were found: does check_man.py still read them rightly?")


def main():
    breaches = list(complete(sys.argv[2]) if sys.argv[1] == "complete" else lint())
    for breach in breaches:
        print(breach)
    print(f"check_man: {len(PAGES)} pages, {len(breaches)} breaches")
    return 1 if breaches or len(PAGES) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
