#!/usr/bin/env python3
"""Check the house rules that a machine can check (docs/design.md).

  layers    a file of a layer includes and uses its own layer and lower ones only
  circle    its files do not use one another in a circle (circles.py)
  front     public headers and examples include none of src/
  python    Python.h only in src/cpython, src/preload, src/module and hooks
  secure    src/ reads the environment with secure_getenv(), and takes no file's name
            from dladdr(), which answers argv[0] for the program
  size      no file of src/ has more than 500 lines, no other source more than 600,
            no function of ours more than 60
  braces    if, else, for, while and do always have braces
  readme    the C examples of README.md and docs/hooks.md are those of examples/,
            which the tests run
  alone     every header compiles without another one in front of it

Prints one line per breach, as file:line: rule: what; exits with 1 if any.
Needs Python 3.9 and a C compiler, nothing else.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import circles
from c_text import blanked, line_of
from layers import RANK, TOP_LEVEL, may_use, place

ROOT = Path(__file__).resolve().parents[2]

MAY_SEE_PYTHON = ("src/cpython/", "src/preload/", "src/module/", "hooks/")
PURE = ("src/", "include/", "hooks/")  # where the Python.h rule applies
MAX_LINES = {"src": 500, "hooks": 500, "tests": 600}
MAX_FUNCTION = 60

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def sources():
    """Yields the C files of the tree, relative to its root."""
    for top in ("include", "src", "hooks", "examples", "tests", "bench"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".c", ".h", ".cpp", ".cc") and path.is_file():
                yield path.relative_to(ROOT)


def included(text):
    """Yields (line number, delimiter, name) for each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def layer_of_include(path, name):
    """The layer folder that an include of ours leads to, or None."""
    beside = (ROOT / path).parent / name
    if "/" not in name or not (ROOT / place(name)).exists():
        if not beside.exists():
            return None
        return layer_of(beside.resolve().relative_to(ROOT))
    folder = name.split("/")[0]
    return folder if folder in RANK else None


def layer_of(path):
    """The layer folder that a file lies in, or None."""
    if path.parts[0] in TOP_LEVEL:
        return path.parts[0]
    return path.parts[1] if path.parts[0] == "src" and len(path.parts) > 2 else None


def check_includes(path, text):
    folder = layer_of(path)
    posix = path.as_posix()
    for number, delimiter, name in included(text):
        if name == "Python.h" or name.startswith("internal/pycore"):
            if posix.startswith(PURE) and not posix.startswith(MAY_SEE_PYTHON):
                yield number, "python", f"{name} is not for this folder"
            continue
        target = layer_of_include(path, name)
        if target is None:
            continue
        if folder is not None:
            if folder not in RANK:
                yield number, "layers", f"{folder}/ is not a layer that design.md names"
            elif not may_use(folder, target):
                yield number, "layers", f"{folder} includes {name}, which lies above or beside it"
        elif posix.startswith(("include/", "examples/")):
            yield number, "front", f"{name} is internal"


def after_parentheses(text, start):
    """Where the parenthesis that opens at `start` has closed."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return len(text)


def check_braces(text):
    code = blanked(text)
    for match in re.finditer(r"\b(if|for|while|else|do)\b", code):
        rest = code[match.end():].lstrip()
        if match.group(1) in ("if", "for", "while"):
            if not rest.startswith("("):
                continue
            start = code.index("(", match.end())
            rest = code[after_parentheses(code, start):].lstrip()
        elif re.match(r"if\b", rest):
            continue
        closes_do = (match.group(1) == "while"
                     and code[:match.start()].rstrip().endswith("}"))
        if not rest.startswith("{") and not (closes_do and rest.startswith(";")):
            yield line_of(code, match.start()), "braces", f"{match.group(1)} without braces"


def check_secure(text):
    """What a privileged process must not believe (src/platform/privilege.h)."""
    code = blanked(text)
    for match in re.finditer(r"\b(getenv\s*\(|dli_fname\b)", code):
        yield (line_of(code, match.start()), "secure",
               "secure_getenv() reads the environment" if match.group(1) != "dli_fname"
               else "dli_fname may be argv[0]; take dl_iterate_phdr()'s name")


def check_functions(text):
    """In PEP 7's shape a body is what lies between { and } in column one."""
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            begun = number
        elif line == "}" and begun:
            if number - begun > MAX_FUNCTION:
                yield begun, "size", f"a function of {number - begun} lines, more than {MAX_FUNCTION}"
            begun = 0


def check_text(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    yield from check_includes(path, text)
    lines = text.count("\n")
    most = MAX_LINES.get(path.parts[0], MAX_LINES["tests"])
    if lines > most:
        yield lines, "size", f"{lines} lines, more than {most}"
    if path.suffix in (".c", ".h"):
        yield from check_braces(text)
    if path.as_posix().startswith(PURE):
        yield from check_functions(text)
    if path.as_posix().startswith(("src/", "hooks/")):
        yield from check_secure(text)


def check_readme():
    for document, name in (("README.md", "embed15.c"), ("docs/hooks.md", "largest.c")):
        text, example = ROOT / document, ROOT / "examples" / name
        if text.exists() and example.exists():
            blocks = re.findall(r"^```c\n(.*?)^```", text.read_text(encoding="utf-8"), re.S | re.M)
            if example.read_text(encoding="utf-8") not in blocks:
                yield Path(document), 1, "readme", f"no ```c block equals examples/{name}"


def check_alone(path, options, scratch):
    """Compiles one header by itself; yields a breach if that fails."""
    # A header next to C++ sources is one of C++, and may need what is not there.
    cpp = any((ROOT / path).parent.glob("*.cpp"))
    unit = Path(scratch) / (path.as_posix().replace("/", "_") + (".cpp" if cpp else ".c"))
    unit.write_text(f'#include "{ROOT / path}"\ntypedef int alone;\n')
    command = [options.cxx if cpp else options.cc, "-std=gnu++17" if cpp else "-std=gnu11",
               "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
               "-Wno-unused-function", "-Wno-unused-variable",
               f"-I{ROOT / 'src'}", f"-I{ROOT}", f"-I{ROOT / 'include'}", f"-I{ROOT / 'tests'}"]
    posix = path.as_posix()
    if not posix.startswith(PURE) or posix.startswith(MAY_SEE_PYTHON):
        if not options.python_include:
            return []
        command += ["-isystem", options.python_include]
    for folder in options.include:
        command += ["-isystem", folder]
    done = subprocess.run(command + [str(unit)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode == 0 or (cpp and "benchmark/benchmark.h: No such file" in done.stderr):
        return []
    return [(1, "alone", "does not compile alone:\n" + done.stderr.strip())]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--cxx", default=os.environ.get("CXX", "c++"))
    parser.add_argument("--python-include", default="",
                        help="folder of Python.h; without it, headers that need it are passed over")
    parser.add_argument("--include", action="append", default=[],
                        help="another folder of system headers (cmocka)")
    options = parser.parse_args()

    files = list(sources())
    breaches = [*check_readme(), *circles.check(ROOT)]
    for path in files:
        breaches += [(path, *breach) for breach in check_text(path)]
    headers = [path for path in files if path.suffix == ".h"]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, found in zip(headers, pool.map(
                lambda path: check_alone(path, options, scratch), headers)):
            breaches += [(path, *breach) for breach in found]

    for path, number, rule, what in breaches:
        print(f"{path}:{number}: {rule}: {what}")
    print(f"check_layers: {len(files)} files, {len(headers)} headers, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
