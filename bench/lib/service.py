"""A web server as processes: started, asked, read, ended.

It has a folder of its own below /tmp (names of sockets have little room), which
is removed at the end, and runs as `nobody` if root starts it.  It stays on the
processors it is given: what it starts inherits them.
"""

import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from . import child
from .discover import ROOT
from .load import ADDRESS
from .problem import Problem

APPLICATION = (ROOT / "bench/server/application.py",
               ROOT / "bench/macro/worker.py")
ERROR_LOG = "error.log"  # of Apache
PORTS = 5                # that are tried, should others take them first
START_SECONDS = 60       # until it answers
END_SECONDS = 30         # until it is gone
ANSWER_SECONDS = 60
SAMPLE_SECONDS = 0.5     # between two looks at the memory
STEADY = 0.01            # memory that changes by less has settled
TAKEN = re.compile(rb"address already in use|connection in use|could not bind",
                   re.I)
LOG_LINES = 12


class PortTaken(Exception):
    """Somebody else listens there."""


class Memory(NamedTuple):
    """Of all processes of a server; pages that several have count once in
    pss_kb, and in each in rss_kb."""
    rss_kb: int
    pss_kb: int


# --- processes ----------------------------------------------------------------

@contextlib.contextmanager
def pinned(cpus):
    """This thread, and what it starts meanwhile, on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid):
    """The process and all below it."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def memory_of(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(amount) for name, amount in
             re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.M)}
    return Memory(found["Rss"], found["Pss"])


def cpu_seconds_of(pid):
    """What all threads of it used of a processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sampler(threading.Thread):
    """Looks at the memory until it is told to stop; keeps the most."""

    def __init__(self, read):
        super().__init__(daemon=True)
        self.read = read
        self.most = 0
        self.done = threading.Event()

    def look(self):
        with contextlib.suppress(Problem):  # whoever loads it says why
            self.most = max(self.most, self.read().pss_kb)

    def run(self):
        while not self.done.wait(SAMPLE_SECONDS):
            self.look()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


# --- files --------------------------------------------------------------------

def run_as():
    """Root does not serve; words for Popen."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def write_files(host, folder, port):
    (folder / ERROR_LOG).unlink(missing_ok=True)  # of a port that was taken
    for path in APPLICATION:
        shutil.copy(path, folder)
    for name, text in host.files(folder, port).items():
        (folder / name).write_text(text, encoding="utf-8")
    owner = run_as()
    if owner:
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner["user"], owner["group"])


def free_port():
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


# --- a server -----------------------------------------------------------------

class Service:
    """One run of a WebHost."""

    def __init__(self, host, env, cpus, folder):
        self.host, self.folder = host, folder
        self.port = free_port()
        self.env = {**env, "HOME": str(folder), "TMPDIR": str(folder)}
        self.log = folder / "log"
        self.answered = set()  # process ids
        write_files(host, folder, self.port)
        self.command = [str(word) for word in host.command(folder)]
        with self.log.open("wb") as log, pinned(cpus):
            try:
                self.process = subprocess.Popen(
                    self.command, env=self.env, cwd=folder,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, **run_as())
            except OSError as error:
                raise Problem(f"cannot start: {error}\n  {self.shown()}") \
                    from None

    def shown(self):
        return child.shown(self.command, self.env)

    # --- what it says ---

    def said(self):
        """All that it wrote."""
        texts = []
        for path in (self.log, self.folder / ERROR_LOG):
            with contextlib.suppress(OSError):
                texts.append(path.read_bytes())
        return b"\n".join(texts)

    def problem(self, text):
        """A Problem with the end of its log."""
        lines = self.said().decode(errors="replace").strip().splitlines()
        return Problem("\n  ".join([f"{text}: {self.shown()}",
                                    *lines[-LOG_LINES:]]))

    def check_log(self):
        if b"cannot be preloaded" in self.said():
            raise self.problem("LD_PRELOAD did not work (can user "
                               f"{run_as().get('user', os.geteuid())} read "
                               "the library?)")

    def check_alive(self):
        code = self.process.poll()
        if code is None:
            return
        if TAKEN.search(self.said()):
            raise PortTaken
        raise self.problem("ended by itself, "
                           + child.why_failed(code, ""))

    # --- asking ---

    def get(self, path, query):
        """The JSON of an answer; None while nobody listens."""
        connection = http.client.HTTPConnection(ADDRESS, self.port,
                                                timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", f"{path}?{query}")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        try:
            if response.status == 200:
                return json.loads(body)
        except ValueError:
            pass
        raise self.problem(f"GET {path}?{query}: status {response.status}, "
                           f"{body[:200]!r}")

    def ask(self, path, query):
        answer = self.get(path, query)
        if answer is None:
            raise self.problem(f"GET {path}?{query}: no answer")
        return answer

    def wait(self, what, question):
        """Asks until it is true."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check_alive()
            answer = question()
            if answer:
                return answer
            time.sleep(0.05)
        raise self.problem(f"no {what} in {START_SECONDS} s")

    def all_answer(self):
        """Whether every worker does: asked at once, as busy ones take no
        more; what is there may not have loaded the application yet."""
        path, count = self.host.paths[0], self.host.workers
        with ThreadPoolExecutor(2 * count) as pool:
            answers = list(pool.map(lambda _: self.get(path, "check"),
                                    range(2 * count)))
        self.answered |= {answer["pid"] for answer in answers if answer}
        return len(self.answered) >= count

    def wait_until_served(self):
        """Each path is answered by this server and nobody else, and by all
        of its workers; the answers."""
        answers = []
        for path in self.host.paths:
            answer = self.wait(f"answer of {path}",
                               lambda: self.get(path, "check"))
            if answer.get("folder") != str(self.folder):
                raise PortTaken
            answers.append(answer)
        self.wait("answer of all workers", self.all_answer)
        self.check_log()
        return answers

    # --- reading ---

    def pids(self):
        return family(self.process.pid)

    def total(self, read):
        """The sum over all processes; Problem if one is gone."""
        try:
            return [read(pid) for pid in self.pids()]
        except (OSError, KeyError) as error:
            raise self.problem(f"a process is gone: {error}") from None

    def memory(self):
        return Memory(*map(sum, zip(*self.total(memory_of))))

    def cpu_seconds(self):
        return sum(self.total(cpu_seconds_of))

    def settle(self):
        """Waits until the memory is as good as steady; what it is then."""
        last = self.memory()
        for _ in range(10):
            time.sleep(0.2)
            memory = self.memory()
            if abs(memory.pss_kb - last.pss_kb) <= STEADY * last.pss_kb:
                break
            last = memory
        return memory

    # --- the end ---

    def wait_for_end(self, pids, seconds):
        """Whether all are gone; those that lost their parent as well."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (self.process.poll() is not None
                    and not any(map(self.lives, pids))):
                return True
            time.sleep(0.02)
        return False

    def lives(self, pid):
        """Whether it is there and of this server's session."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        state, _, _, session = stat.rpartition(")")[2].split()[:4]
        return state != "Z" and int(session) == self.process.pid

    def end(self):
        """Asks it to end, and makes it."""
        pids = self.pids()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        if self.wait_for_end(pids, END_SECONDS):
            return
        for pid in filter(self.lives, {*pids, *self.pids()}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def started(host, env, cpus, folder):
    """A Service that answers, and its first answers."""
    for _ in range(PORTS):
        service = Service(host, env, cpus, folder)
        try:
            return service, service.wait_until_served()
        except PortTaken:
            service.end()
        except BaseException:
            service.end()
            raise
    raise Problem(f"{host.name}: {PORTS} free ports were taken before it "
                  "could listen")


@contextlib.contextmanager
def serving(host, env, server_cpus, own_cpus):
    """A server that answers and its answers; meanwhile this thread is on
    `own_cpus`."""
    with tempfile.TemporaryDirectory(prefix="pimalloc-bench-",
                                     dir="/tmp") as name, pinned(own_cpus):
        service, answers = started(host, env, server_cpus, Path(name))
        try:
            yield service, answers
        finally:
            service.end()
