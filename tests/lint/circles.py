#!/usr/bin/env python3
"""Who uses whom in the layers: no circle between files, and nothing of a layer above.

  circle    the files of a folder do not use one another in a circle
  layers    a file uses no function and no variable of a layer above its own,
            whether it includes that layer's header or declares them itself

x.c and x.h are one node.  A node uses another one if its code names a function or a
variable that the other one defines, or if it includes the other's header.  Code is
what stands in functions and initialisers, and what the macros named there expand to.

All is read as text, in the shape of PEP 7: a function's name begins its line.

    circles.py [ROOT]

Prints one line per breach, as file:line: rule: what; exits with 1 if any.
Needs Python 3.9, nothing else.
"""

import re
import sys
from collections import defaultdict, deque
from pathlib import Path

from c_text import DIRECTIVE, blanked, line_of, without_comments
from layers import RANK, TOP_LEVEL, may_use, place

# Files that do what another one's header promises, and use it, too: one node.
CONTRACTS = {
    # What the allocator asks of any system; tests put a fake in its place.
    "platform/os_linux": "platform/os",
    # The same of threads.
    "platform/threads_linux": "platform/threads",
}

# main() is nobody's to call, and the others are libc's as well: the preload library
# stands in for them, so whoever calls them does not mean it.
NOT_OURS = {"main", "setlocale", "pthread_atfork"}

# Until these folders are put in order, circles in them are no breach.
EXCEPT = set()

NAME = re.compile(r"(?<![.\w])(?<!->)[A-Za-z_]\w*")
FUNCTION = re.compile(r"^([A-Za-z_]\w*)\(", re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)
MACRO = re.compile(r"[ \t]*#[ \t]*define[ \t]+(\w+)(?:\(([^)]*)\))?(.*)", re.S)
BRACKET = re.compile(r"[{}();]")
# Types that have parentheses, before a declaration is looked at.
ATTRIBUTE = re.compile(r"\b(__attribute__|_Alignas|_Atomic|__typeof__)\s*"
                       r"\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")


def items(code):
    """Yields (start, body, closed, end) of each item of the top level, up to its last
    brace or semicolon.  body and closed: where its first braces are, or None."""
    depth, start, body, closed = 0, 0, None, None
    for match in BRACKET.finditer(code):
        bracket, at = match.group(), match.start()
        if bracket in "({":
            if bracket == "{" and depth == 0 and body is None:
                body = at
            depth += 1
            continue
        if bracket in ")}":
            # In column one a body ends, whatever #if and #else opened twice.
            depth = 0 if bracket == "}" and code[at - 1:at] == "\n" else max(depth - 1, 0)
        ends_function = False
        if bracket == "}" and depth == 0 and closed is None and body is not None:
            closed = at + 1
            ends_function = code[start:body].rstrip().endswith(")")
        if depth == 0 and (bracket == ";" or ends_function):
            yield start, body, closed, at + 1
            start, body, closed = at + 1, None, None


def declared(declaration):
    """The variable that is declared, without its initialiser, or None."""
    text = re.sub(r"\[[^\]]*\]|\{.*\}", " ", ATTRIBUTE.sub(r"\1 ", declaration), flags=re.S)
    pointer = re.search(r"\(\s*\*[\s*]*(?:\w+\s+)*(\w+)\s*\)", text)  # to a function
    macro = re.fullmatch(r"\s*(?:static\s+)?[A-Z]\w*\((\w+)\)\s*", text)  # PIM_LOCK(x)
    if pointer or macro:
        return (pointer or macro).group(1)
    words = NAME.findall(text)
    return None if "(" in text or len(words) < 2 else words[-1]


class File:
    """What a source defines and uses, by name."""

    def __init__(self, path, text):
        self.path = path  # folder/file, see layers.place()
        self.folder = path.split("/")[0]
        self.node = path.rsplit(".", 1)[0]
        self.node = CONTRACTS.get(self.node, self.node)
        self.code = blanked(text)
        self.includes = {}  # name -> line
        self.macros = defaultdict(set)  # name -> names that it expands to
        self.defined = {}  # name -> whether it is static
        self.used = {}  # name -> line of the first use
        for match in INCLUDE.finditer(text):
            self.includes.setdefault(match.group(1), line_of(text, match.start()))
        for match in DIRECTIVE.finditer(without_comments(text)):
            macro = MACRO.match(match.group())
            if macro:
                name, parameters, body = macro.groups()
                self.macros[name] |= set(NAME.findall(body)) - set(
                    re.findall(r"\w+", parameters or ""))

    def read(self, words_of):
        """Finds definitions and uses; words_of: macros that say static or extern."""
        for start, body, closed, end in items(self.code):
            head = self.code[start:body if body is not None else end - 1]
            names = list(FUNCTION.finditer(head))
            if body is not None and head.rstrip().endswith(")") and names:
                words = set(NAME.findall(head[:names[-1].start()]))
                self.defined[names[-1].group(1)] = bool(words & words_of["static"])
                self._use(body, end)
                continue
            words = set(NAME.findall(head))
            if words & words_of["extern"]:
                continue
            # A body in front of the name is a type's.
            first = closed if body is not None and "=" not in head else start
            declaration, equals, value = self.code[first:end - 1].partition("=")
            if equals:
                self._use(end - 1 - len(value), end)
            name = declared(declaration if first == start else f"type {declaration}")
            if name and self.path.endswith(".c"):
                self.defined[name] = bool(words & words_of["static"])

    def _use(self, start, end):
        for match in NAME.finditer(self.code, start, end):
            if match.group() not in self.used:
                self.used[match.group()] = line_of(self.code, match.start())


def read_sources(root):
    files = {}
    for base in (root / "src", *(root / name for name in sorted(TOP_LEVEL))):
        for path in sorted(base.rglob("*.[ch]")):
            name = path.relative_to(root / "src" if base.name == "src" else root).as_posix()
            if "/" in name and name.split("/")[0] in RANK:
                files[name] = File(name, path.read_text(encoding="utf-8"))
    words_of = {"static": {"static"}, "extern": {"extern", "typedef", "_Static_assert"}}
    for file in files.values():
        for name, body in file.macros.items():
            for word, words in words_of.items():
                if word in body:
                    words.add(name)
    for file in files.values():
        file.read(words_of)
    return files


def expand(file, headers):
    """The names that the code of a file uses, those of macros included, by line."""
    used, todo = {}, list(file.used.items())
    while todo:
        name, line = todo.pop()
        if name not in used:
            used[name] = line
            names = file.macros.get(name) or headers.get(name, ())
            todo += [(inner, line) for inner in names if inner not in file.used]
    return used


def definers_of(files):
    """name -> node -> the file that defines it, if others can use it."""
    found = defaultdict(dict)
    for file in files.values():
        for name, is_static in file.defined.items():
            if (not is_static or file.path.endswith(".h")) and name not in NOT_OURS:
                found[name][file.node] = file
    return found


def find_uses(files):
    """node -> node -> (path, line, what, path of its definition) of one use of the
    other by the first."""
    definers = definers_of(files)
    headers = defaultdict(set)  # macro -> names that it expands to
    for file in files.values():
        if file.path.endswith(".h"):
            for name, body in file.macros.items():
                headers[name] |= body
    uses = defaultdict(dict)
    for file in files.values():
        for name, line in expand(file, headers).items():
            found = definers.get(name)
            if not found or file.node in found or name in file.defined:
                continue
            # Of several, such as of two programs, the nearest is meant.
            other = min(found.values(), key=lambda f: (
                f.folder != file.folder, not may_use(file.folder, f.folder), f.path))
            uses[file.node].setdefault(other.node, (file.path, line, name, other.path))
        for name, line in file.includes.items():
            other = files.get(name) or files.get(f"{file.folder}/{name}")
            if other and other.node != file.node and may_use(file.folder, other.folder):
                uses[file.node].setdefault(
                    other.node, (file.path, line, f"#include {name}", other.path))
    return uses


def tangles(uses):
    """Sets of nodes that reach one another (Tarjan's algorithm)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in uses.get(node, ()):
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(set(stack[at:]))
            del stack[at:]

    for node in sorted(uses):
        if node not in number:
            visit(node)
    return found


def way_back(first, uses, tangle):
    """The nodes of a shortest way from a node to itself."""
    before, todo = {first: None}, deque([first])
    while todo:
        node = todo.popleft()
        if first in uses[node]:
            way = [first]
            while node is not None:
                way.append(node)
                node = before[node]
            return way[::-1]
        for other in sorted(uses[node]):
            if other in tangle and other not in before:
                before[other] = node
                todo.append(other)
    raise AssertionError(f"{first} is in no circle")


def in_words(circle, uses):
    text = circle[0]
    for node, other in zip(circle, circle[1:]):
        path, line, what, _ = uses[node][other]
        text += f" -> {other} ({what}, {path.rsplit('/', 1)[-1]}:{line})"
    return text


def check(root):
    """Yields (path below root, line, rule, what) for each breach."""
    uses = find_uses(read_sources(root))
    downward = defaultdict(dict)
    for node, others in sorted(uses.items()):
        for other, use in sorted(others.items()):
            path, line, what, theirs = use
            if may_use(node.split("/")[0], other.split("/")[0]):
                downward[node][other] = use
            else:
                yield (Path(place(path)), line, "layers",
                       f"{what} is defined in {place(theirs)}, which lies above or beside this file")
    for tangle in tangles(downward):
        circle = min((way_back(node, downward, tangle) for node in sorted(tangle)), key=len)
        if circle[0].split("/")[0] in EXCEPT:
            continue
        text = in_words(circle, downward)
        if len(tangle) > len(circle) - 1:
            text += f"; {len(tangle)} files in all go round with these"
        path, line, _, _ = downward[circle[0]][circle[1]]
        yield Path(place(path)), line, "circle", text


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    breaches = list(check(root))
    for path, line, rule, what in breaches:
        print(f"{path}:{line}: {rule}: {what}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
