"""Hosts, Pythons and the preload library that are there.

    BUILD/bin/bench_micro_py3.14.10   Google Benchmark with a Python in it
    BUILD/bin/bench_macro_py3.14.10   runs bench/macro/programs inside
    BUILD/lib/libpimalloc-preload.so  for a stock python3
"""

import json
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from .allocators import PRELOAD
from .problem import Problem

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_BUILD = ROOT / "build/bench"
STOCK_DEFAULT = (3, 13)
HOST_DEFAULT = (3, 14)
OLDEST, NEWEST = (3, 12), (3, 15)

ASK_PYTHON = """
import json, platform, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "version": platform.python_version(),
    "implementation": sys.implementation.name,
    "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "build": "optimised" if "--enable-optimizations" in
        (sysconfig.get_config_var("CONFIG_ARGS") or "")
        else "distribution's" if sys.prefix == "/usr" else "plain"}))
"""


class Host(NamedTuple):
    """A program of the build tree with a Python in it."""
    kind: str       # micro, macro or player
    version: str    # of its Python: 3.14.10, 3.14.10d for a debug build
    path: Path


def numbers(version):
    """'3.14.10' as (3, 14, 10), for comparing."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


# --- the build tree -----------------------------------------------------------

def find_hosts(build):
    """The hosts of a build tree, the newest Python first."""
    hosts = []
    for path in (build / "bin").glob("bench_*_py*"):
        match = re.fullmatch(r"bench_(micro|macro|player)_py(\d+\.\d+.*)", path.name)
        if match and path.is_file() and os.access(path, os.X_OK):
            hosts.append(Host(match.group(1), match.group(2), path))
    return sorted(hosts, key=lambda host: numbers(host.version), reverse=True)


def choose_host(hosts, kind, wanted):
    """The host of that kind with Python `wanted` ('3.14', '3.14.10', or None
    for 3.14 if it is there, else the newest); None if there is none."""
    fitting = [host for host in hosts if host.kind == kind]
    if wanted:
        return next((host for host in fitting if host.version == wanted
                     or host.version.startswith(wanted + ".")
                     and not host.version.endswith("d")), None)
    release = [host for host in fitting if not host.version.endswith("d")]
    usual = [host for host in release
             if numbers(host.version)[:2] == HOST_DEFAULT]
    return (usual or release or [None])[0]


def preload_library(build):
    path = build / "lib" / PRELOAD
    return path if path.is_file() else None


def check_cpus(wanted):
    """Problem unless this process may use them."""
    allowed = os.sched_getaffinity(0)
    if wanted and not wanted <= allowed:
        raise Problem(f"--cpu: this process may use {sorted(allowed)} only")


# --- stock Pythons ------------------------------------------------------------

@lru_cache(maxsize=None)
def ask_python(executable):
    """What a Python says about itself, or None if it does not run."""
    try:
        done = subprocess.run([str(executable), "-I", "-c", ASK_PYTHON],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=60,
                              env={"PATH": os.environ.get("PATH", "")})
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    answer["executable"] = answer["executable"] or str(executable)
    return answer


def why_not(answer):
    """What keeps pimalloc from serving that Python, or None."""
    if answer["implementation"] != "cpython":
        return f"{answer['implementation']} is not CPython"
    version = numbers(answer["version"])[:2]
    if version < OLDEST:
        return "older than 3.12"
    if version > NEWEST:
        return "newer than pimalloc knows"
    if answer["free_threaded"]:
        return "a free-threaded build"
    return None


def pythons_of(minor):
    """Executables that may be a Python 3.`minor`."""
    on_path = shutil.which(f"python3.{minor}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", "") or Path.home() / ".pyenv")
    versions = sorted(pyenv.glob(f"versions/3.{minor}[.-]*"),  # 3.15-dev
                      key=lambda path: numbers(path.name), reverse=True)
    yield from (str(path / "bin/python3") for path in versions)


def python_candidates():
    """Executables that may be a Python: 3.13 first, then newest first."""
    first = STOCK_DEFAULT[1]
    yield from pythons_of(first)
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        if minor != first:
            yield from pythons_of(minor)
    yield "python3"


def same_python(version):
    """What the Python of a host says about itself, if it is found."""
    for candidate in pythons_of(numbers(version)[1]):
        answer = ask_python(candidate)
        if answer and version == answer["version"] + "d" * answer["debug"]:
            return answer
    return None


def find_python(wanted):
    """The stock Python to measure: what `wanted` names (a path, a name on
    PATH, or a version such as 3.13), or the best that is found."""
    if wanted:
        name = f"python{wanted}" if re.fullmatch(r"3\.\d+", wanted) else wanted
        executable = shutil.which(name)
        if executable is None:
            raise Problem(f"--python {wanted}: there is no {name}")
        answer = ask_python(executable)
        if answer is None:
            raise Problem(f"--python {wanted}: {executable} does not run")
        reason = why_not(answer)
        if reason:
            raise Problem(f"--python {wanted}: {reason}; name a CPython 3.12 "
                          "to 3.15")
        return answer
    for candidate in python_candidates():
        answer = ask_python(candidate)
        if answer and not why_not(answer) and not answer["debug"]:
            return answer
    return None
