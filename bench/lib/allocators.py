"""The allocators that are compared, and how a process is put on each.

One process runs one allocator.  A stock python3 is told by its environment, an
embedded host by --allocator; a general malloc comes with LD_PRELOAD in both.

    name      stock: PYTHONMALLOC  host: --allocator  LD_PRELOAD
    pimalloc  -                    pimalloc           stock: libpimalloc-preload
    pymalloc  pymalloc             pymalloc           -
    mimalloc  mimalloc             mimalloc           -
    glibc     malloc               malloc             -
    jemalloc  malloc               malloc             libjemalloc.so.2
    libmimalloc  malloc            malloc             libmimalloc.so.3
    ...

Another build of pimalloc may be a rival, named by its preload library: in stock
Pythons and servers, which find nothing else of it.

The floors are no rivals: tables of functions without any check, which only the
hosts have, and only for one interpreter at a time.  `floor` is one list, last in,
first out: the least that a call of an allocator can take.  `ordered` hands blocks
out by address, which takes longer and lets a program wait less for memory.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple, Optional

from .problem import Problem

OURS = "pimalloc"
PRELOAD = "libpimalloc-preload.so"
BASE = "pymalloc"  # what the charts take as 1
FLOOR, ORDERED = FLOORS = ("floor", "ordered")
MAIN = (OURS, BASE, "mimalloc")

SONAMES = {"jemalloc": ("libjemalloc.so.2",),
           "tcmalloc": ("libtcmalloc_minimal.so.4",),
           "rpmalloc": ("librpmalloc.so.1",),
           "libmimalloc": ("libmimalloc.so.3", "libmimalloc.so.2")}
GENERAL = ("glibc", *SONAMES)
FOLDERS = ("/usr/local/lib", "/usr/lib/x86_64-linux-gnu",
           "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")


class Allocator(NamedTuple):
    """How to get it; `library` is preloaded in stock Python and in hosts."""
    name: str
    host: str                      # the word after --allocator
    pythonmalloc: Optional[str]    # the value of PYTHONMALLOC
    library: Optional[Path] = None

    @property
    def is_other_build(self):
        """Of pimalloc."""
        return self.host == OURS and self.library is not None


def builtin():
    """The allocators that need no library of their own."""
    return [Allocator(OURS, "pimalloc", None),
            Allocator(BASE, "pymalloc", "pymalloc"),
            Allocator("mimalloc", "mimalloc", "mimalloc"),
            Allocator("glibc", "malloc", "malloc")]


def general(name, library):
    """A malloc that takes the place of libc's, or another pimalloc."""
    if Path(library).name.startswith(PRELOAD):
        return Allocator(name, OURS, None, Path(library))
    return Allocator(name, "malloc", "malloc", Path(library))


def loader_cache():
    """What ldconfig knows: {soname: path}."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(["ldconfig", "-p"], capture_output=True,
                              text=True, check=False,
                              env={"PATH": path, "LC_ALL": "C"})
    except OSError:
        return {}
    found = {}
    for match in re.finditer(r"^\s*(\S+) \(([^)]*)\) => (.+)$", done.stdout,
                             re.M):
        found.setdefault(match.group(1), match.group(3))
    return found


def find_one_of(sonames, cache):
    """The first of them that is there, or None."""
    found = (find_library(soname, cache) for soname in sonames)
    return next(filter(None, found), None)


def find_library(soname, cache):
    """The library of that name, or None."""
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for folder in [folder for folder in folders if folder]:
        if (Path(folder) / soname).is_file():
            return Path(folder) / soname
    if soname in cache:
        return Path(cache[soname])
    for folder in FOLDERS:
        if (Path(folder) / soname).is_file():
            return Path(folder) / soname
    return None


def named_rivals(texts):
    """--rival NAME=PATH, more than once: {name: path}."""
    rivals = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z][\w.-]*", name):
            raise Problem(f"--rival {text}: that is not NAME=PATH, such as "
                          "jemalloc=/opt/lib/libjemalloc.so.2")
        if name in MAIN + FLOORS + ("glibc",):
            raise Problem(f"--rival {text}: {name} is not chosen by a library")
        if not Path(path).is_file():
            raise Problem(f"--rival {text}: there is no file {path}")
        rivals[name] = Path(path).resolve()
    return rivals


def available(rival_options=()):
    """All allocators that can be run here, in the order of the tables, and
    the names of those whose library is missing."""
    rivals = named_rivals(rival_options)
    cache = loader_cache()
    found, missing = builtin(), []
    for name, sonames in SONAMES.items():
        library = rivals.pop(name, None) or find_one_of(sonames, cache)
        if library is None:
            missing.append(name)
        else:
            found.append(general(name, library))
    found += [general(name, path) for name, path in rivals.items()]
    return found + [Allocator(name, name, None) for name in FLOORS], missing


def choose(wanted, found):
    """Those of `found` that the list `wanted` names, in the order of `found`.

    pimalloc and pymalloc are always among them: every ratio is to the one,
    every chart to the other."""
    names = [allocator.name for allocator in found]
    for name in wanted:
        if name in SONAMES and name not in names:
            raise Problem(f"{name} is not here: install the package that has "
                          f"{SONAMES[name][0]}, or name the library with "
                          f"--rival {name}=PATH")
        if name not in names:
            raise Problem(f"--allocators: there is no {name!r}; there are "
                          + ", ".join(names))
    keep = {OURS, BASE, *wanted}
    return [allocator for allocator in found if allocator.name in keep]
