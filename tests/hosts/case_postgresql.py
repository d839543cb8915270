"""PostgreSQL with PL/Python: each session loads the language and Python.

Once as usual, and once preloaded: then Python begins in the postmaster, and
the process of each session is a fork of it.
"""

import json
import signal
from pathlib import Path

from bench import Failed, find, need_file

NAME = "postgresql"
ENTRY = "plug-in"
PACKAGE = "postgresql-plpython3-*"

SCRIPT = """\
CREATE EXTENSION IF NOT EXISTS plpython3u;
CREATE OR REPLACE FUNCTION answer() RETURNS text LANGUAGE plpython3u AS $$
import json, sys, work
rows = plpy.execute("SELECT n * n AS square FROM generate_series(1, 1000) AS n")
result = work.answer()
result["sum"] = sum(row["square"] for row in rows)
return json.dumps(result)
$$;
SELECT answer();
"""


def programs():
    """The folder of the newest server that there is."""
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                     key=lambda path: float(path.parts[-3]))
    if not servers:
        find("postgres", PACKAGE)
    return servers[-1].parent


def ask(bench, folder, sockets):
    script = bench.folder / "script.sql"
    script.write_text(SCRIPT)
    return bench.run(folder / "psql", "--no-psqlrc", "--quiet", "--tuples-only",
                     "--no-align", "--set", "ON_ERROR_STOP=1",
                     "--host", sockets, "--username", "tester",
                     "--dbname", "postgres", "--file", script, served=False)


def is_ready(data):
    pid = data / "postmaster.pid"
    return pid.exists() and "ready" in pid.read_text().split()


def serve(bench, folder, data, preload):
    with bench.daemon(
            folder / "postgres", "-D", data, "-k", bench.folder,
            "-c", "listen_addresses=", "-c", "fsync=off",
            "-c", f"shared_preload_libraries={preload}",
            stop=signal.SIGINT) as server:  # ends sessions, then stops
        bench.wait_for("server", lambda: is_ready(data), server)
        return [json.loads(ask(bench, folder, bench.folder)) for _ in range(2)]


def play(bench):
    folder = programs()
    need_file(folder.parent / "lib" / "plpython3.so", PACKAGE)
    version = bench.run(folder / "postgres", "--version", served=False).strip()
    data = bench.folder / "data"
    bench.run(folder / "initdb", "-D", data, "--auth", "trust", "--username",
              "tester", "--no-sync", "--encoding", "UTF8", "--locale", "C",
              served=False)
    answers = [answer for preload in ("", "plpython3")
               for answer in serve(bench, folder, data, preload)]
    if any(answer != answers[0] for answer in answers):
        raise Failed(f"sessions disagree: {answers}")
    return version.split(" (Debian")[0], json.dumps(answers[0])
