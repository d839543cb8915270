"""Apache with mod_wsgi: Python in subinterpreters of its child processes.

Two application groups (legacy subinterpreters) and the main interpreter in the
children that serve requests, and a daemon process of mod_wsgi; then a graceful
restart, which ends these processes and begins new ones, and unloads mod_wsgi in
the parent and loads it again.

WSGILazyInitialization Off, Python already in the parent, is not tried: with
mod_wsgi 5.0 and CPython 3.13 or 3.14 each child aborts at once, without pimalloc.
"""

import json
import signal
from pathlib import Path

from bench import Failed, Skip, find

NAME = "apache"
ENTRY = "plug-in"
MODULES = Path("/usr/lib/apache2/modules")
PATHS = ("/one", "/two", "/main", "/daemon")

APPLICATION = """\
import json, os, work

def application(environ, start_response):
    result = work.answer()
    result["group"] = environ["mod_wsgi.application_group"]
    result["pid"] = os.getpid()
    body = json.dumps(result).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
"""

CONFIGURATION = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
ServerName localhost
Listen 127.0.0.1:{port}
Mutex file:{folder}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
StartServers 1
ServerLimit 2
ThreadsPerChild 4
MaxRequestWorkers 8
MaxSpareThreads 8
WSGISocketPrefix {folder}/wsgi
WSGIPythonPath {python_path}
WSGIDaemonProcess worker processes=1 threads=2 home={folder} python-path={python_path}
WSGIScriptAlias / {folder}/application.wsgi
<Location />
    Require all granted
</Location>
<Location /one>
    WSGIApplicationGroup one
</Location>
<Location /two>
    WSGIApplicationGroup two
</Location>
<Location /main>
    WSGIApplicationGroup %{{GLOBAL}}
</Location>
<Location /daemon>
    WSGIProcessGroup worker
    WSGIApplicationGroup %{{GLOBAL}}
</Location>
"""


def ask_all(bench, port, server):
    """The answer of every path, and the processes that gave them."""
    answers, pids = {}, set()
    for path in PATHS:
        answers[path] = bench.wait_for(
            f"answer of {path}", lambda: bench.get(port, path), server)
        pids.add(answers[path].pop("pid"))
    return answers, pids


def serve(bench, apache):
    """Starts, asks, restarts gracefully, asks again, stops."""
    port = bench.free_port()
    configuration = bench.folder / "apache.conf"
    configuration.write_text(CONFIGURATION.format(
        folder=bench.folder, port=port, modules=MODULES,
        python_path=bench.modules))
    (bench.folder / "application.wsgi").write_text(APPLICATION)
    try:
        with bench.daemon(apache, "-d", bench.folder, "-f", configuration,
                          "-DFOREGROUND") as server:
            before, pids = ask_all(bench, port, server)
            server.send_signal(signal.SIGUSR1)
            bench.wait_for("new processes", lambda: pids.isdisjoint(
                ask_all(bench, port, server)[1]), server)
            after, _ = ask_all(bench, port, server)
    except (Failed, OSError):
        with bench.log.open("a") as log:
            log.write((bench.folder / "error.log").read_text(errors="replace"))
        raise
    if before != after:
        raise Failed(f"before the restart {before}, after it {after}")
    return before


def play(bench):
    apache = find("apache2", "apache2 libapache2-mod-wsgi-py3")
    if not (MODULES / "mod_wsgi.so").exists():
        raise Skip("libapache2-mod-wsgi-py3")
    version = bench.run(apache, "-v", served=False).split()[2]
    answers = serve(bench, apache)
    one = answers["/one"]
    return f"{version}, mod_wsgi", json.dumps(
        {"python": one["python"], "digest": one["digest"], "all": answers})
