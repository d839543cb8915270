"""uWSGI: its Python plug-in begins Python in the master, which then forks.

Two mounted applications are two legacy subinterpreters.  The reload makes the
master end its workers and execute itself again.
"""

import json
import signal
from pathlib import Path

from bench import Failed, find, need_file

NAME = "uwsgi"
ENTRY = "plug-in"
PACKAGES = "uwsgi-core uwsgi-plugin-python3"

APPLICATION = """\
import json, os, uwsgi, work

def application(environ, start_response):
    result = work.answer()
    result["script"] = environ["SCRIPT_NAME"]
    result["pid"] = os.getpid()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(result).encode()]
"""


def ask_all(bench, port, server):
    answers, pids = [], set()
    for path in ("/one", "/two") * 4:
        answer = bench.wait_for(
            f"answer of {path}", lambda: bench.get(port, path), server)
        pids.add(answer.pop("pid"))
        if answer not in answers:
            answers.append(answer)
    return answers, pids


def play(bench):
    uwsgi = find("uwsgi", PACKAGES)
    need_file(Path("/usr/lib/uwsgi/plugins/python3_plugin.so"), PACKAGES)
    version = bench.run(uwsgi, "--version", served=False).strip()
    port = bench.free_port()
    for name in ("one", "two"):
        (bench.folder / f"{name}.py").write_text(APPLICATION)
    with bench.daemon(
            uwsgi, "--plugin", "python3", "--http-socket", f"127.0.0.1:{port}",
            "--master", "--processes", "2", "--enable-threads", "--need-app",
            "--die-on-term", "--worker-reload-mercy", "60",
            "--manage-script-name", "--pythonpath", bench.modules,
            "--mount", f"/one={bench.folder}/one.py",
            "--mount", f"/two={bench.folder}/two.py") as server:
        before, pids = ask_all(bench, port, server)
        server.send_signal(signal.SIGHUP)
        bench.wait_for("new workers", lambda: pids.isdisjoint(
            ask_all(bench, port, server)[1]), server)
        after, _ = ask_all(bench, port, server)
    if before != after or len(before) != 2:
        raise Failed(f"before the reload {before}, after it {after}")
    return f"uWSGI {version}", json.dumps({**before[0], "all": before})
