"""The real preload library under real Pythons."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from harness import SECONDS, Skip, case, contains, equal

PRINT = "print(sum(len(str(n)) for n in range(1000)))"


def real(b, *words, **more):
    if b.options.sanitized:
        raise Skip("a sanitized library cannot be preloaded")
    return b.run(*words, file=b.options.launcher, **more)


def pythons(b):
    if not b.options.pythons:
        raise Skip("no CPython was given")
    return b.options.pythons


def version(python):
    return subprocess.run([python, "-c", "import sys; print(sys.version.split()[0])"],
                          capture_output=True, text=True, check=True).stdout.strip()


@case
def python_is_served(b):
    """each Python runs as without, and --check says that it is served"""
    for python in pythons(b):
        done = real(b, python, "-c", PRINT)
        equal((done.returncode, done.stdout, done.stderr), (0, "2890\n", ""))
        done = real(b, "--check", python)
        equal((done.returncode, done.stderr), (0, ""))
        contains(done.stdout, f"{python}: CPython {version(python)}", "is served by pimalloc")
        done = real(b, "--verbose", python, "-c", PRINT)
        equal((done.returncode, done.stdout), (0, "2890\n"))
        contains(done.stderr, "pimalloc")


@case
def figures_in_a_folder_with_a_per_cent_sign(b):
    """figures get where a per cent sign is in the path, in the folder and in the name"""
    python = pythons(b)[0]
    folder = Path(b.path("50%pid"))
    folder.mkdir()
    done = real(b, "--stats=json:%%p-%p", python, "-c", "import os; print(os.getpid())",
                cwd=folder)
    equal((done.returncode, done.stderr), (0, ""))
    equal(os.listdir(folder), [f"%p-{done.stdout.strip()}"])


OVERWRITE = """
import ctypes
words = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
n = 0
while words[n]:
    ctypes.memset(words[n], ord("x"), len(ctypes.string_at(words[n])))
    n += 1
"""


@case
def title_over_the_environment(b):
    """a program that shows a title of its own in ps does not change where figures go"""
    python = pythons(b)[0]
    folder = Path(b.path("title"))
    folder.mkdir()
    done = real(b, "--stats=json:out.json", python, "-c", OVERWRITE, cwd=folder)
    equal((done.returncode, done.stderr), (0, ""))
    equal(os.listdir(folder), ["out.json"])


@case
def python_in_a_script(b):
    """--check and a run follow a Python script to its Python"""
    python = pythons(b)[0]
    script = b.script("app.py", f"#!{python}\nimport sys; sys.exit(len(sys.argv))\n")
    equal(real(b, script, "a", "b").returncode, 3)
    done = real(b, "--check", script)
    equal((done.returncode, done.stderr), (0, ""))
    contains(done.stdout, f"{script} ({python}): CPython")


@case
def python_in_a_virtual_environment(b):
    """a virtual environment's python is served and stays in its environment"""
    python = pythons(b)[0]
    subprocess.run([python, "-m", "venv", "--without-pip", b.path("venv")], check=True)
    inside = b.path("venv/bin/python3")
    equal(real(b, inside, "-c", "import sys; print(sys.prefix)").stdout, b.path("venv") + "\n")
    done = real(b, "--check", inside)
    equal((done.returncode, done.stderr), (0, ""))


@case
def python_with_another_allocator(b):
    """--check names PYTHONMALLOC and -X dev"""
    python = pythons(b)[0]
    for words, more in (([python], {"env": {"PYTHONMALLOC": "malloc"}}),
                        (["env", "PYTHONMALLOC=debug", python], {}), ([python, "-X", "dev"], {})):
        done = real(b, "--check", *words, **more)
        equal((done.returncode, done.stderr), (1, ""))
        contains(done.stdout, "not served: ", "dev" if "dev" in words else "PYTHONMALLOC")
    equal(real(b, "--check", python, "-I", env={"PYTHONMALLOC": "malloc"}).returncode, 0)


@case
def old_python(b):
    """a Python before 3.12 runs as without; --check says that it is too old"""
    for name in ("python3.11", "python3.10", "python3.9", "python3"):
        found = shutil.which(name)
        code = "import sys; print(sys.version_info < (3, 12), sys.executable)"
        answer = found and subprocess.run([found, "-c", code], capture_output=True, text=True,
                                          check=False).stdout.split()
        if answer and answer[0] == "True":
            done = real(b, answer[1], "-c", PRINT)
            equal((done.returncode, done.stdout, done.stderr), (0, "2890\n", ""))
            done = real(b, "--check", answer[1])
            equal((done.returncode, done.stderr), (1, ""))
            contains(done.stdout, "not served: ", "older than 3.12")
            return
    raise Skip("no older Python here")


@case
def ls_has_no_python(b):
    """--check of ls and of a shell script: no Python at the start"""
    done = real(b, "--check", "ls")
    equal((done.returncode, done.stderr), (2, ""))
    contains(done.stdout, "ls: no CPython in this program at its start")
    script = b.script("app.sh", "#!/bin/sh\nexit 1\n")
    done = real(b, "--check", script)
    equal((done.returncode, done.stderr), (2, ""))
    contains(done.stdout, "no CPython in the interpreter of this script")


@case
def without_mimalloc(b):
    """--check names a mimalloc that is missing; the program runs on all the same"""
    python = pythons(b)[0]
    more = {"env": {"PIMALLOC_MIMALLOC": "/no/such/file"}}
    done = real(b, "--check", python, **more)
    equal((done.returncode, done.stderr), (1, ""))
    contains(done.stdout, "not served: /no/such/file cannot be loaded")
    equal(real(b, python, "-c", PRINT, **more).stdout, "2890\n")


@case
def mimalloc_for_all(b):
    """--with-malloc: the process's malloc is mimalloc's, and Python is served"""
    python = pythons(b)[0]
    code = ("import ctypes; own = ctypes.CDLL(None)\n"
            "print(hasattr(own, 'mi_version'), own.mi_version() >= 30600)")
    done = real(b, "--with-malloc", python, "-c", code)
    equal((done.returncode, done.stdout, done.stderr), (0, "True True\n", ""))
    done = real(b, "--check", "--with-malloc", python)
    equal((done.returncode, done.stderr), (0, ""))
    done = real(b, "--with-malloc", "--verbose", "--stats", python, "-c", "pass")
    contains(done.stderr, ", raw on mimalloc\n", "raw is served by mimalloc's malloc")
    equal("at times" in done.stderr, version(python) < "3.14", "that figures are approximate")


@case
def children(b):
    """programs that COMMAND starts are served"""
    python = pythons(b)[0]
    code = ("import ctypes, subprocess, sys\n"
            "def active(): return ctypes.CDLL(None).pimalloc_active()\n"
            "print(active(), flush=True)\n"
            "if len(sys.argv) == 1:\n"
            "    sys.exit(subprocess.call([sys.executable, sys.argv[0], 'child']))\n")
    script = b.script("parent.py", code)
    done = real(b, "sh", "-c", f'"$0" "$1"; exit $?', python, script)
    equal((done.returncode, done.stdout, done.stderr), (0, "1\n1\n", ""))
    equal(real(b, sys.executable, "-c", "import os; print(len(os.environ['LD_PRELOAD'].split(':')))"
               ).stdout, "1\n")


@case
def no_children(b):
    """--no-children: COMMAND is served, what it starts has never heard of us"""
    python = pythons(b)[0]
    code = ("import ctypes, os, subprocess, sys\n"
            "print(hasattr(ctypes.CDLL(None), 'pimalloc_active'), *(name for name in os.environ\n"
            "      if name.startswith(('LD_PRELOAD', 'PIMALLOC'))), flush=True)\n"
            "if len(sys.argv) == 1:\n"
            "    sys.exit(subprocess.call([sys.executable, sys.argv[0], 'child']))\n")
    script = b.script("no-children.py", f"#!/usr/bin/env -S {python}\n{code}")
    for command in ((python, script), (script,), ("env", script),
                    ("sh", "-c", f'exec "{python}" "{script}"')):
        done = real(b, "--no-children", "--with-malloc", "--limit=1G", *command)
        equal((done.returncode, done.stdout, done.stderr), (0, "True\nFalse\n", ""))
    for command, says in (("sh", "its child processes are not"),
                          (b.script("no-children.sh", "#!/bin/sh\n"), "that it starts are not")):
        done = real(b, "--check", "--no-children", command)
        equal((done.returncode, done.stderr), (2, ""))
        contains(done.stdout, says)


@case
def figures_in_a_file(b):
    """--stats=json:FILE is written where it was asked for, for each process"""
    python = pythons(b)[0]
    code = f"import os, subprocess; os.chdir('/'); subprocess.call([{python!r}, '-c', 'pass'])"
    folder = b.scratch / "figures"
    folder.mkdir()
    done = real(b, "--stats=json:stats-%p.json", python, "-c", code, cwd=folder)
    equal((done.returncode, done.stdout, done.stderr), (0, "", ""))
    files = sorted(folder.iterdir())
    equal(len(files), 2, "number of files")
    for file in files:
        equal(json.loads(file.read_text())["pid"], int(file.stem.split("-")[1]))


@case
def figures_on_stderr(b):
    """--stats prints to stderr, and nothing for what was not served"""
    python = pythons(b)[0]
    contains(real(b, "--stats", python, "-c", PRINT).stderr, "pimalloc ", "interp 0")
    contains(real(b, "--stats=openmetrics", python, "-c", PRINT).stderr, "# EOF\n")
    equal(real(b, "--stats", "ls", "/").stderr, "")
    equal(real(b, "--stats", python, "-c", PRINT, env={"PYTHONMALLOC": "malloc"}).stderr, "")


@case
def figures_on_a_signal(b):
    """--stats-signal: a signal brings the figures while the program runs"""
    file = b.path("on-signal.json")
    code = ("import os, pathlib, signal, time\n"
            "os.kill(os.getpid(), signal.SIGUSR2)\n"
            f"end = time.monotonic() + {SECONDS}\n"
            f"while not pathlib.Path({file!r}).exists() and time.monotonic() < end:\n"
            "    time.sleep(0.01)\n"
            f"print(pathlib.Path({file!r}).exists())\n")
    done = real(b, f"--stats=json:{file}", "--stats-signal=USR2", pythons(b)[0], "-c", code)
    equal((done.returncode, done.stdout, done.stderr), (0, "True\n", ""))


@case
def signals_as_in_the_library(b):
    """launcher and library refuse the same signals"""
    python = pythons(b)[0]
    for number in range(1, signal.SIGRTMAX + 1):
        ours = real(b, f"--stats-signal={number}", "true").returncode == 0
        done = real(b, "--check", python, env={"PIMALLOC_STATS_SIGNAL": str(number)})
        equal("bad value" not in done.stderr, ours, f"library's answer to {number}")


@case
def debug_hooks(b):
    """--debug: the debug hooks are on, and pimalloc below them"""
    code = ("import ctypes; api = ctypes.pythonapi\n"  # holds the GIL in calls
            "api.PyMem_Malloc.restype = ctypes.c_void_p\n"
            "block = api.PyMem_Malloc(ctypes.c_size_t(8))\n"
            "print(ctypes.string_at(block, 8) == b'\\xcd' * 8, api.pimalloc_active())\n")
    done = real(b, "--debug", pythons(b)[0], "-c", code)
    equal((done.returncode, done.stdout, done.stderr), (0, "True 1\n", ""))


@case
def module(b):
    """--with-module: Python imports the module, in each version"""
    if not os.path.exists(os.path.dirname(b.options.launcher) + "/../lib/python/pimalloc.abi3.so"):
        raise Skip("the module is not built")
    for python in pythons(b):
        done = real(b, "--with-module", python, "-c", "import pimalloc; print(pimalloc.active())")
        equal((done.returncode, done.stdout, done.stderr), (0, "True\n", ""))
