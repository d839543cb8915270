#!/usr/bin/env python3
"""Compare the documents with the tree (README.md, CONTRIBUTING.md, CHANGELOG.md, docs/).

  picture    docs/img/layers.svg has the layers of layers.py in their order
  layers     so has docs/design.md, section 2, a paragraph each, CONTRIBUTING.md a line
             each, src/ a folder each, and src/CMakeLists.txt those without Python
  link       what a document links to is there, headings included
  file       what a document names as `src/...`, `tests/...` and so on is there
  test       a test that section 13 names is in the file that it names
  invariant  section 13 has the names that src/ has, and no others
  name       a PIM_... or pim_... that a document names is in the sources
  comment    a file that a comment of a C file names is there
  number     a number in parentheses beside a constant's name is its value, as are
             the numbers that HELD lists

Prints one line per breach, as file:line: rule: what; exits with 1 if any.
Needs Python 3.9, nothing else.
"""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from layers import LAYERS, TOP, TOP_LEVEL

ROOT = Path(__file__).resolve().parents[2]

FOLDERS = "src|tests|include|examples|scripts|bench|cmake|docs|\\.ci"
UNITS = {"": 1, "units": 1, "blocks": 1, "pages": 1, "extents": 1, "bytes": 1, "ms": 1,
         "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NUMBER = r"(\d[\d,]*(?:\.\d+)?)(?: (units|blocks|pages|extents|bytes|ms|KiB|MiB|GiB))?"

# A pattern, what it is in, and what the number in it is: an expression of constants.
HELD = [
    (r"threads? (?:that|without a thread state) .*?up to ([\d,]+) KiB if it uses all sizes",
     "README.md", "(RAW_CACHE + 1023) // 1024"),
    (r"if it uses all sizes up to ([\d,]+) bytes", "README.md", "PIM_RAW_SMALL_MAX"),
    (r"blocks above ([\d,]+) bytes come from mimalloc", "README.md", "PIM_RAW_SMALL_MAX"),
    (r"([\d,]+) KiB for a thread that uses all classes", "docs/design.md",
     "(RAW_CACHE + 1023) // 1024"),
    (r"nothing is reserved; default ([\d,]+) GiB", "README.md", "PIM_REGION_SIZE >> 30"),
    (r"System pages larger than ([\d,]+) KiB", "README.md", "PIM_UNIT_SIZE >> 10"),
    (r"about ([\d,]+) MiB and an eighth of what it uses", "docs/tenants.md",
     "(PIM_EMPTY_UNITS + PIM_IDLE_SPAN_UNITS) * PIM_UNIT_SIZE >> 20"),
    (r"a small request \(up to ([\d,]+) bytes\)", "docs/tenants.md", "PIM_SMALL_MAX"),
    (r"eight to a doubling from there up to ([\d,]+) bytes", "docs/tenants.md", "PIM_SMALL_MAX"),
    (r"for what is live: ([\d,]+) MiB and", "docs/tenants.md", "NOTE_BYTES >> 20"),
    (r"for what is live: .*?and ([\d,]+) bytes for each", "docs/tenants.md",
     "TABLE_BYTES_FOR_BLOCK"),
    (r"until ([\d,]+) others have ended", "docs/tenants.md", "PIM_ENDED_KEPT"),
    (r"is listed until ([\d,]+) others", "docs/statistics.md", "PIM_ENDED_KEPT"),
    (r"can be read until ([\d,]+) others", "docs/embedding.md", "PIM_ENDED_KEPT"),
    (r"Room for a new one\*\*, ([\d,]+) MiB", "docs/tenants.md", "PIM_LIMIT_BIRTH >> 20"),
    (r"after ([\d,]+) pages what is left", "docs/tenants.md", "POISONED_PAGES_MAX"),
    (r"after ([\d,]+) large blocks further", "docs/tenants.md", "RECORDS_MAX"),
    (r"`fork\(\)` goes on after ([\d,]+) seconds", "docs/embedding.md",
     "PIM_INSIDE_PATIENCE_MS // 1000"),
    (r"is let\s+in after 0\.(\d) seconds", "docs/embedding.md", "PIM_GATE_PATIENCE_MS // 100"),
    (r"of up\s+to ([\d,]+) bytes from a heap of the process", "CHANGELOG.md", "PIM_RAW_SMALL_MAX"),
]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def documents():
    names = [name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
             if (ROOT / name).exists()]
    return names + sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md"))


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def without_code(text):
    """The text with its fenced blocks blanked, line by line."""
    return re.sub(r"^( *)```.*?^\1```", lambda m: "\n" * m.group().count("\n"), text,
                  flags=re.S | re.M)


# --- layers ------------------------------------------------------------------

def expected_rows():
    """The rows of the picture, lowest first; the last are those on top."""
    return LAYERS + TOP


def rows_of(svg):
    """The names of layers in a picture: the bold words that end in a slash."""
    found = []
    for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if text.get("font-weight") == "bold" and (text.text or "").endswith("/"):
            found.append((-float(text.get("y")), float(text.get("x")), text.text[:-1]))
    return [name for _, _, name in sorted(found)]


def check_picture(svg):
    if rows_of(svg) != expected_rows():
        yield 1, "picture", f"{' '.join(rows_of(svg))} instead of {' '.join(expected_rows())}"


def check_paragraphs(design):
    begin, end = design.index("\n## 2."), design.index("\n## 3.")
    found = re.findall(r"^\*\*(\w+)\*\* ", design[begin:end], re.M)
    if found != LAYERS + TOP:
        yield (line_of(design, begin) + 1, "layers",
               f"{' '.join(found)} instead of {' '.join(LAYERS + TOP)}")
    folders = {p.name for p in (ROOT / "src").iterdir() if p.is_dir()}
    folders |= {name for name in TOP_LEVEL if (ROOT / name).is_dir()}
    if folders != set(LAYERS + TOP):
        yield 1, "layers", f"the folders and layers.py differ: {sorted(folders ^ set(LAYERS + TOP))}"
    core = re.search(r"set\(PIM_CORE_LAYERS (.*?)\)", read("src/CMakeLists.txt")).group(1).split()
    if core != LAYERS[:len(core)]:
        yield 1, "layers", f"PIM_CORE_LAYERS of src/CMakeLists.txt is {' '.join(core)}"


def check_lines(contributing):
    begin = contributing.index("\n## Where a line of code belongs")
    end = contributing.index("\n## ", begin + 1)
    found = re.findall(r"^\| `(\w+)/` \|", contributing[begin:end], re.M)
    if found != TOP + LAYERS[::-1]:
        yield (line_of(contributing, begin) + 1, "layers",
               f"{' '.join(found)} instead of {' '.join(TOP + LAYERS[::-1])}")


# --- links and files -------------------------------------------------------------

def anchors(text):
    """The anchors of a document's headings, as GitHub and GitLab make them."""
    for heading in re.findall(r"^#+ (.*)$", without_code(text), re.M):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", heading).lower()
        yield re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")


def check_links(path, text):
    plain = without_code(text)
    for match in re.finditer(r"\]\(([^)\s]*)\)", plain):
        target, _, anchor = match.group(1).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (ROOT / path).parent / target if target else ROOT / path
        number = line_of(plain, match.start())
        if not file.exists():
            yield number, "link", f"{target} is not there"
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield number, "link", f"{match.group(1)}: there is no such heading"
    for match in re.finditer(rf"`((?:{FOLDERS})/[\w./-]*\w)/?`", plain):
        if not (ROOT / match.group(1)).exists():
            yield line_of(plain, match.start()), "file", f"{match.group(1)} is not there"


# --- invariants and their tests ---------------------------------------------------

def section_13(design):
    return design.index("\n## 13."), design.index("\n## 14.")


def check_tests(design):
    begin, end = section_13(design)
    kinds = "unit|thread|model|embed|fault|misuse|tstate|mi|hooks"
    content = ""
    for match in re.finditer(rf"(?<![\w/])(?:tests/)?((?:{kinds})/[\w/]+)(?:\.c)?|`(\w+)`"
                             r"|(\n\||\. )", design[begin:end]):
        number = line_of(design, begin + match.start())
        file, name, sentence = match.groups()
        if sentence:
            content = ""
        elif file:
            path = ROOT / "tests" / (file + ".c")
            content = path.read_text(encoding="utf-8") if path.exists() else ""
            if not path.exists():
                yield number, "test", f"tests/{file}.c is not there"
        elif content and name.count("_") > 1 and not re.search(rf"\b{name}\b", content):
            yield number, "test", f"{name} is not in the test named before it"


def check_invariants(design):
    begin, end = section_13(design)
    table = re.findall(r"^\| `([A-Z]+-\d+)` \|", design[begin:end], re.M)
    kinds = "|".join(sorted({name.split("-")[0] for name in table}))
    named = {}
    for path in sorted([*(ROOT / "src").rglob("*.[ch]"), *(ROOT / "hooks").rglob("*.[ch]")]):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(rf"\b(?:{kinds})-\d\b|(?<=^//   )[A-Z]+-\d(?=  )", text, re.M):
            named.setdefault(name, path.relative_to(ROOT))
    for name in sorted(set(table) - set(named)):
        yield line_of(design, begin), "invariant", f"{name} is nowhere in the sources"
    for name in sorted(set(named) - set(table)):
        yield line_of(design, begin), "invariant", f"{name} of {named[name]} is not in the table"
    for name in sorted(set(re.findall(rf"`((?:{kinds})-\d+)`", design)) - set(table)):
        yield line_of(design, design.index(f"`{name}`")), "invariant", f"{name} is not in the table"


# --- constants ---------------------------------------------------------------------

def definitions():
    """The constants of the sources, as text: {name: expression}."""
    found = {}
    for path in [*(ROOT / "src").rglob("*.[ch]"), *(ROOT / "hooks").rglob("*.[ch]"),
                 *(ROOT / "include").rglob("*.h")]:
        text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
        for name, value in re.findall(r"^#\s*define (\w+) (.+)$", text, re.M):
            found.setdefault(name, re.sub(r"//.*", "", value).strip())
    return found


def value_of(expression, known):
    """The value of a C expression of integers."""
    text = re.sub(r"\((?:size_t|unsigned|u?int\d+_t)\)", "", expression)
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text).replace("/", "//").replace("////", "//")
    names = set(re.findall(r"\b[A-Za-z_]\w*\b", text))
    return eval(text, {"__builtins__": {}},  # of our own sources
                {name: value_of(known[name], known) for name in names})


def add_raw_cache(known):
    """RAW_CACHE: what a thread's bins hold at most; see raw_small.c."""
    table = re.findall(r"\b(?:TINY|CLASS)\((\d+)", read("src/page/size_class.c"))
    total = 0
    for index in range(value_of("PIM_RAW_CLASSES", known)):
        size = int(table[index])
        tiny = index < value_of("PIM_TINY_CLASSES", known)
        bound = value_of("BIN_BYTES_TINY" if tiny else "BIN_BYTES", known)
        total += size * max(2, min(value_of("BIN_BLOCKS", known), bound // size))
    known["RAW_CACHE"] = str(total)


def is_value(number, unit, value):
    return float(number.replace(",", "")) * UNITS[unit or ""] == value


def check_numbers(path, text, known):
    plain = without_code(text)
    name = r"`(\w+)`(?:th)?"
    for match in [*re.finditer(rf"{name}\s\({NUMBER}\)", plain),
                  *re.finditer(rf"{NUMBER}\s\({name}\)", plain)]:
        groups = match.groups()
        constant, number, unit = groups if groups[0] in known else (groups[2], *groups[:2])
        if constant not in known:
            continue
        value = value_of(constant, known)
        if not is_value(number, unit, value):
            yield line_of(plain, match.start()), "number", f"{match.group()}: it is {value:,}"
    for pattern, where, expression in HELD:
        if where == path:
            yield from check_held(pattern, expression, plain, known)


def check_held(pattern, expression, plain, known):
    found = re.findall(pattern, plain, re.S)
    value = value_of(expression, known)
    if not found:
        yield 1, "number", f"'{pattern}' is nowhere; mend HELD in check_documents.py"
    for number in found:
        if not is_value(number, "", value):
            yield 1, "number", f"{number} of '{pattern}' is not {expression}, {value:,}"


def check_names(text, words):
    for match in re.finditer(r"(?<![\w/.-])(?:PIM|pim)_\w*[^\W_]\b(?![.*])", text):
        if match.group() not in words:
            yield line_of(text, match.start()), "name", f"{match.group()} is nowhere in the sources"


# --- comments of the sources --------------------------------------------------------

NOT_OURS = {"pymem.h", "pyconfig.h"}  # CPython's


def check_comments(text, names):
    for match in re.finditer(r"//.*", text):
        for name in re.findall(r"(?<![\w<./-])(?:[a-z_0-9]+/)*([a-z_0-9]+\.[ch])\b", match.group()):
            if name not in names and name not in NOT_OURS:
                yield line_of(text, match.start()), "comment", f"{name} is not there"


def main():
    known = definitions()
    add_raw_cache(known)
    files = [p for top in ("src", "hooks", "include", "tests", "examples", "bench", "cmake")
             for p in sorted((ROOT / top).rglob("*.[ch]"))]
    texts = {p.relative_to(ROOT): p.read_text(encoding="utf-8") for p in files}
    words = set(re.findall(r"\w+", " ".join(
        [*texts.values(), *(p.read_text(encoding="utf-8") for p in (ROOT / "cmake").glob("*.cmake"))])))
    design = read("docs/design.md")
    breaches = [("docs/img/layers.svg", *b) for b in check_picture(read("docs/img/layers.svg"))]
    for check in (check_paragraphs, check_tests, check_invariants):
        breaches += [("docs/design.md", *b) for b in check(design)]
    breaches += [("CONTRIBUTING.md", *b) for b in check_lines(read("CONTRIBUTING.md"))]
    for path in documents():
        text = read(path)
        for found in (check_links(path, text), check_numbers(path, text, known),
                      check_names(text, words)):
            breaches += [(path, *b) for b in found]
    for path, text in texts.items():
        breaches += [(path, *b) for b in check_comments(text, {p.name for p in files})]
    for path, number, rule, what in breaches:
        print(f"{path}:{number}: {rule}: {what}")
    print(f"check_documents: {len(documents())} documents, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
