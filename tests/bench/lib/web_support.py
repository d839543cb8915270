"""A pretended web server and a pretended load: the application of bench/server
in a process of this Python, asked a few times.

What goes wrong is chosen by a word in the file `fault` beside the server.
"""

import http.client
import sys

import support  # noqa: F401  (finds bench/lib)
from lib import load, webhosts

REQUESTS = 6

SERVER = """
import os, signal, socketserver, subprocess, sys, wsgiref.simple_server

folder = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, folder)
fault = FAULT
first = not os.path.exists(MARK)
open(MARK, "a").close()
if fault == "taken" and first:
    sys.exit("OSError: [Errno 98] Address already in use")
if fault == "ends":
    sys.exit("no such module")
if fault == "stays":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
import application
asked = 0

def answer(environ, start_response):
    global asked
    if not environ["QUERY_STRING"]:
        asked += 1
        if fault == "refuses" and asked % 4 == 0:
            start_response("503 Busy", [("Content-Length", "0")])
            return []
        if fault == "forks" and asked == 2:
            subprocess.Popen([sys.executable, "-S", "-c",
                              "import time; time.sleep(60)"])
    if fault == "foreign" and first:
        application.__file__ = "/elsewhere/application.py"
    return application.application(environ, start_response)

class Server(wsgiref.simple_server.WSGIServer):
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", PORT
        self.setup_environ()

class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass

wsgiref.simple_server.make_server(
    "127.0.0.1", PORT, answer, Server, Quiet).serve_forever()
"""


class PretendedHost(webhosts.WebHost):
    name = "pretended"
    workers = 1

    def __init__(self, mark, fault=""):
        super().__init__()
        self.mark, self.fault = mark, fault
        self.program = sys.executable
        self.python = "{}.{}.{}".format(*sys.version_info)

    def files(self, folder, port):
        text = SERVER
        for name, value in (("FAULT", self.fault), ("MARK", str(self.mark)),
                            ("PORT", port)):
            text = text.replace(name, repr(value))
        return {"server.py": text}

    def command(self, folder):
        return [self.program, "-S", "-B", folder / "server.py"]


class PretendedLoad:
    name = "load"

    def __init__(self):
        self.ran = []  # seconds

    def run(self, port, paths, seconds, folder):
        self.ran.append(seconds)
        good = bad = 0
        for number in range(REQUESTS):
            connection = http.client.HTTPConnection(load.ADDRESS, port,
                                                    timeout=60)
            connection.request("GET", paths[number % len(paths)])
            if connection.getresponse().status == 200:
                good += 1
            else:
                bad += 1
            connection.close()
        load.refuse_failures(good, {"status": bad}, 0.5)
        return load.Load(good, 0.5, 20.0, 40.0)
