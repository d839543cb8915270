"""gdb: linked with libpython, which it initialises after its own set-up."""

from bench import find

NAME = "gdb"
ENTRY = "linked"

SCRIPT = """\
import json, gdb, work
result = work.answer()
result["gdb"] = int(gdb.parse_and_eval("6 * 7"))
print("ANSWER " + json.dumps(result))
"""


def play(bench):
    gdb = find("gdb", "gdb")
    script = bench.folder / "script.py"
    script.write_text(SCRIPT)
    # gdb starts a shell for nothing here; no inferior is run.
    out = bench.run(gdb, "-nx", "-batch", "-ex", "set auto-load off",
                    "-x", script)
    version = bench.run(gdb, "--version", served=False).splitlines()[0]
    return version, out.partition("ANSWER ")[2]
