"""unbound: a name server linked with libpython; its module answers queries.

It is also asked for its figures while it runs, by a signal.
"""

import json
import socket
import struct
from pathlib import Path

from bench import PATIENCE, find, need_file

NAME = "unbound"
ENTRY = "linked"
PACKAGES = "unbound python3-unbound"
NAME_ASKED = "answer.pimalloc.example"
TXT, IN = 16, 1

CONFIGURATION = """\
server:
    interface: 127.0.0.1
    port: {port}
    do-daemonize: no
    do-tcp: no
    chroot: ""
    username: ""
    directory: "{folder}"
    pidfile: "{folder}/pid"
    use-syslog: no
    num-threads: 1
    module-config: "python"
python:
    python-script: "{folder}/script.py"
remote-control:
    control-enable: no
"""

SCRIPT = """\
import json, work

def init_standard(id, env):
    return True

def deinit(id):
    return True

def inform_super(id, qstate, superqstate, qdata):
    return True

def operate(id, event, qstate, qdata):
    if event in (MODULE_EVENT_NEW, MODULE_EVENT_PASS):
        text = json.dumps(work.answer()).replace('"', "'")
        reply = DNSMessage(qstate.qinfo.qname_str, RR_TYPE_TXT, RR_CLASS_IN,
                           PKT_QR | PKT_RA | PKT_AA)
        reply.answer.append('%s 10 IN TXT "%s"' % (qstate.qinfo.qname_str, text))
        if not reply.set_return_msg(qstate):
            qstate.ext_state[id] = MODULE_ERROR
            return True
        qstate.return_msg.rep.security = 2
        qstate.return_rcode = RCODE_NOERROR
        qstate.ext_state[id] = MODULE_FINISHED
        return True
    qstate.ext_state[id] = MODULE_ERROR
    return True
"""


def query(port):
    """The text record of NAME_ASKED; None while nobody answers."""
    labels = b"".join(bytes([len(label)]) + label.encode()
                      for label in NAME_ASKED.split("."))
    question = labels + b"\0" + struct.pack(">HH", TXT, IN)
    header = struct.pack(">HHHHHH", 4711, 0x0100, 1, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        try:
            client.send(header + question)
            packet = client.recv(4096)
        except OSError:
            return None
    return packet[packet.index(b"{"):packet.index(b"}") + 1].decode() \
        if b"{" in packet else None


def play(bench):
    unbound = find("unbound", PACKAGES)
    need_file(Path("/usr/lib/python3/dist-packages/unboundmodule.py"), PACKAGES)
    version = bench.run(unbound, "-V", served=False).splitlines()[0]
    port = bench.free_port(socket.SOCK_DGRAM)
    configuration = bench.folder / "unbound.conf"
    configuration.write_text(CONFIGURATION.format(folder=bench.folder, port=port))
    (bench.folder / "script.py").write_text(SCRIPT)
    bench.listen_for_requests()
    with bench.daemon(unbound, "-d", "-c", configuration) as server:
        text = bench.wait_for("answer", lambda: query(port), server)
        bench.figures_on_request(server)
    return version, text.replace("'", '"')
