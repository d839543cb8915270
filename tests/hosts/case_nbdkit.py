"""nbdkit: its Python plug-in initialises Python when it is loaded."""

from pathlib import Path

from bench import find, need_file

NAME = "nbdkit"
ENTRY = "plug-in"

SCRIPT = """\
import json, work

def dump_plugin():
    print("answer=" + json.dumps(work.answer()), flush=True)

def open(readonly):
    return 1

def get_size(handle):
    return 512

def pread(handle, buf, offset, flags):
    buf[:] = bytes(len(buf))
"""


def play(bench):
    nbdkit = find("nbdkit", "nbdkit nbdkit-plugin-python")
    version = bench.run(nbdkit, "--version", served=False).strip()
    plugins = bench.run(nbdkit, "--dump-config", served=False)
    folder = dict(line.split("=", 1) for line in plugins.splitlines())["plugindir"]
    need_file(Path(folder, "nbdkit-python-plugin.so"), "nbdkit-plugin-python")
    script = bench.folder / "script.py"
    script.write_text(SCRIPT)
    out = bench.run(nbdkit, "python", script, "--dump-plugin")
    return version, out.partition("answer=")[2].partition("\n")[0]
