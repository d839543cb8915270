"""One child process: a clean environment, chosen processors, a time limit.

The environment is made from nothing, so that a PYTHONPATH or MALLOC_CONF of the
user's shell measures nobody.  Hashes are fixed: another order of sets is
another program.
"""

import os
import shlex
import signal
import subprocess
import sys

from .problem import Problem

TIMEOUT = 600          # seconds, for one process
KEPT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "HOME")
TOLD = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def environment(allocator, library=None, stock=False):
    """Of a process on the allocator; `library` is what is preloaded."""
    result = {name: os.environ[name] for name in KEPT if name in os.environ}
    result.update(TOLD)
    if stock and allocator.pythonmalloc:
        result["PYTHONMALLOC"] = allocator.pythonmalloc
    if library is not None:
        result["LD_PRELOAD"] = str(library)
    return result


def shown(command, env):
    """The command as one could type it."""
    told = [f"{name}={shlex.quote(env[name])}" for name in
            ("PYTHONHASHSEED", "PYTHONMALLOC", "LD_PRELOAD") if name in env]
    return " ".join(["env -i", *told, shlex.join(command)])


def end_on_signals():
    """Whatever ends this process ends what it has started, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def why_failed(code, errors):
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    last = errors.strip().splitlines()[-1:]
    return f"exit status {code}" + (f": {last[0]}" if last else "")


def run(command, env, cpus=None, timeout=TIMEOUT):
    """What the command prints; Problem if it fails in any way."""
    command = [str(word) for word in command]

    def pin():
        os.sched_setaffinity(0, cpus)

    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=timeout, check=False, preexec_fn=pin if cpus else None)
    except subprocess.TimeoutExpired:
        raise Problem(f"still running after {timeout} s:\n"
                      f"  {shown(command, env)}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(f"cannot start: {error}\n"
                      f"  {shown(command, env)}") from None
    output, errors = (text.decode(errors="replace")
                      for text in (done.stdout, done.stderr))
    # The dynamic linker only warns, and the process runs on another allocator.
    if "cannot be preloaded" in errors:
        raise Problem(f"LD_PRELOAD did not work: {errors.strip()}\n"
                      f"  {shown(command, env)}")
    if done.returncode != 0:
        raise Problem(f"{why_failed(done.returncode, errors)}\n"
                      f"  {shown(command, env)}")
    return output
