"""What the cases have in common: an environment, processes with an end, and
the statistics that pimalloc writes when a process ends.

A case sees one Bench per run.  Whatever it starts is bounded in time, and ended
by its own process id; what is left over all the same is found by the driver,
which is the reaper of all descendants.
"""

import contextlib
import encodings.idna  # http.client wants it, and nobody may not read its file
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time

PATIENCE = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang
FIGURES_SIGNAL = signal.SIGUSR2  # for hosts that do not use it


class Skip(Exception):
    """A program is not there; the text is the Debian package to install."""


class Failed(Exception):
    """The host did not do what it should."""


def find(program, package, *folders):
    """The path of a program, looked up in PATH, /usr/sbin and `folders`."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders])
    found = shutil.which(program, path=path)
    if found is None:
        raise Skip(package)
    return found


def need_file(path, package):
    if not path.exists():
        raise Skip(package)
    return path


class Bench:
    """One run of one case in a folder of its own."""

    def __init__(self, folder, modules, statistics, prefix, variables):
        self.folder = folder
        self.statistics = statistics  # folder; None if pimalloc is not there
        self.modules = modules        # where work.py lies
        self.prefix = prefix          # pimalloc-run, or nothing
        self.log = folder / "log"
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PIMALLOC_", "LD_"))}
        self.environment.update(HOME=str(folder), TMPDIR=str(folder),
                                LC_ALL="C.UTF-8", PYTHONPATH=str(modules),
                                PYTHONDONTWRITEBYTECODE="1", **variables)

    # --- programs that end by themselves -------------------------------------

    def run(self, *command, served=True, **more):
        """Runs a program to its end; its standard output, as text."""
        command = [*(self.prefix if served else []), *map(str, command)]
        with self.log.open("a") as log:
            print("$", *command, file=log, flush=True)
            try:
                done = subprocess.run(
                    command, env=self.environment, cwd=self.folder, text=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=log, timeout=PATIENCE, check=False, **more)
            except subprocess.TimeoutExpired:
                raise Failed(f"{command[0]}: no end in {PATIENCE} s") from None
            print(done.stdout, file=log)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit status {done.returncode}")
        return done.stdout

    # --- daemons -------------------------------------------------------------

    @contextlib.contextmanager
    def daemon(self, *command, stop=signal.SIGTERM):
        """A program that runs in the foreground until it gets `stop`."""
        command = [*self.prefix, *map(str, command)]
        with self.log.open("a") as log:
            print("$", *command, file=log, flush=True)
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        try:
            yield process
            if process.poll() is not None:
                raise Failed(f"{command[0]} is gone: {process.returncode}")
            process.send_signal(stop)
            try:
                status = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise Failed(f"{command[0]} does not stop") from None
            if status != 0:
                raise Failed(f"{command[0]} stopped with status {status}")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its own session
                process.wait()

    def wait_for(self, what, question, process=None):
        """Asks until the answer is true, and returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = question()
            if found:
                return found
            if process is not None and process.poll() is not None:
                raise Failed(f"ended before {what}: {process.returncode}")
            time.sleep(0.05)
        raise Failed(f"no {what} in {PATIENCE} s")

    def listen_for_requests(self):
        if self.statistics is not None:
            self.environment["PIMALLOC_STATS_SIGNAL"] = FIGURES_SIGNAL.name

    def figures_on_request(self, process):
        """Makes a process tell its figures now, if listen_for_requests() was
        called before it was started.
        """
        if self.statistics is None:
            return
        file = self.statistics / f"{process.pid}.json"
        process.send_signal(FIGURES_SIGNAL)
        self.wait_for("figures on a signal", file.exists, process)
        file.unlink()

    @staticmethod
    def free_port(kind=socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    @staticmethod
    def get(port, path):
        """The JSON of an HTTP answer; None while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", port,
                                                timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (ConnectionError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if response.status != 200:
            raise Failed(f"GET {path}: {response.status}")
        return json.loads(body)
