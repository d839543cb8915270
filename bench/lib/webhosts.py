"""The web servers with Python inside: where they are, how they are configured.

    mod_wsgi   Apache, one child of eight threads, three named interpreters
    uwsgi      a master that loads Python and forks four workers
    gunicorn   a master that forks four workers; each loads the application

Files of a run go to a folder of its own.  Paths are those of Debian.
"""

import re
import shutil
from pathlib import Path

from .discover import ask_python, why_not

APACHE_MODULES = Path("/usr/lib/apache2/modules")
UWSGI_PLUGIN = Path("/usr/lib/uwsgi/plugins/python3_plugin.so")
THREADS = 8
WORKERS = 4
INTERPRETERS = ("one", "two", "three")


class Missing(Exception):
    """Why a server cannot be run here."""


def find_program(name, package):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        raise Missing(f"not installed (Debian: {package})")
    return found


def library_python(path, package):
    """'3.14' of a file that was linked with libpython3.14."""
    try:
        found = re.search(rb"libpython(3\.\d+)\.so", path.read_bytes())
    except OSError:
        raise Missing(f"not installed (Debian: {package})") from None
    if not found:
        raise Missing(f"{path} does not say which libpython it wants")
    return served({"implementation": "cpython", "free_threaded": False,
                   "version": found.group(1).decode()})


def script_python(path):
    """The version of the Python that runs a script."""
    with open(path, "rb") as script:
        first = script.readline().decode(errors="replace")
    words = first[2:].split() if first.startswith("#!") else []
    answer = ask_python(words[-1]) if words else None
    if answer is None:
        raise Missing(f"{path} names no Python that runs")
    return served(answer)


def served(answer):
    """The version, if pimalloc serves it."""
    reason = why_not(answer)
    if reason:
        raise Missing(f"its Python {answer['version']}: {reason}")
    return answer["version"]


class WebHost:
    """A server that is installed; Missing if it is not."""
    name = ""
    package = ""
    paths = ("/",)               # what is asked for, in turns
    workers = WORKERS            # processes that answer; and a master

    def __init__(self):
        self.program = self.python = None  # a path, a version

    def files(self, folder, port):
        """{name: text} of what it wants in its folder."""
        raise NotImplementedError

    def command(self, folder):
        raise NotImplementedError


# --- Apache with mod_wsgi -----------------------------------------------------

APACHE = """\
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
ServerLimit 1
ThreadsPerChild {threads}
MaxRequestWorkers {threads}
MinSpareThreads 1
MaxSpareThreads {threads}
MaxConnectionsPerChild 0
KeepAlive Off
<Location />
    Require all granted
</Location>
"""

APACHE_INTERPRETER = """\
WSGIScriptAlias /{name} {folder}/application.py
<Location /{name}>
    WSGIApplicationGroup {name}
</Location>
"""


class ModWsgi(WebHost):
    """Python in threads of an Apache child, which loads libpython late."""
    name = "mod_wsgi"
    package = "apache2 libapache2-mod-wsgi-py3"
    paths = tuple(f"/{name}" for name in INTERPRETERS)
    workers = 1

    def __init__(self):
        super().__init__()
        self.program = find_program("apache2", self.package)
        self.python = library_python(APACHE_MODULES / "mod_wsgi.so",
                                     self.package)

    def files(self, folder, port):
        text = APACHE.format(folder=folder, port=port, modules=APACHE_MODULES,
                             threads=THREADS)
        for name in INTERPRETERS:
            text += APACHE_INTERPRETER.format(folder=folder, name=name)
        return {"apache.conf": text}

    def command(self, folder):
        return [self.program, "-d", folder, "-f", folder / "apache.conf",
                "-DFOREGROUND"]


# --- uWSGI --------------------------------------------------------------------

UWSGI = """\
[uwsgi]
plugin = python3
http-socket = 127.0.0.1:{port}
master = true
processes = {workers}
wsgi-file = {folder}/application.py
need-app = true
die-on-term = true
disable-logging = true
; It closes each connection, and does not say so by itself.
add-header = Connection: close
"""


class Uwsgi(WebHost):
    """Python in a plug-in, loaded late; workers share the master's pages."""
    name = "uwsgi"
    package = "uwsgi uwsgi-plugin-python3"

    def __init__(self):
        super().__init__()
        self.program = find_program("uwsgi", self.package)
        self.python = library_python(UWSGI_PLUGIN, self.package)

    def files(self, folder, port):
        return {"uwsgi.ini": UWSGI.format(folder=folder, port=port,
                                          workers=WORKERS)}

    def command(self, folder):
        return [self.program, "--ini", folder / "uwsgi.ini"]


# --- gunicorn -----------------------------------------------------------------

GUNICORN = """\
bind = "127.0.0.1:{port}"
workers = {workers}
worker_class = "sync"
chdir = "{folder}"
worker_tmp_dir = "{folder}"
control_socket_disable = True
"""


class Gunicorn(WebHost):
    """A stock python3."""
    name = "gunicorn"
    package = "gunicorn"

    def __init__(self):
        super().__init__()
        self.program = find_program("gunicorn", self.package)
        self.python = script_python(self.program)

    def files(self, folder, port):
        return {"gunicorn.conf.py": GUNICORN.format(folder=folder, port=port,
                                                    workers=WORKERS)}

    def command(self, folder):
        return [self.program, "--config", folder / "gunicorn.conf.py",
                "application:application"]


KINDS = (ModWsgi, Uwsgi, Gunicorn)
NAMES = tuple(kind.name for kind in KINDS)


def find(kinds=KINDS):
    """The servers that can be run, and {name: why not} of the others."""
    found, missing = [], {}
    for kind in kinds:
        try:
            found.append(kind())
        except Missing as reason:
            missing[kind.name] = str(reason)
    return found, missing
