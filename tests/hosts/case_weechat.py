"""weechat: its Python plug-in gives each script a legacy subinterpreter."""

import json
from pathlib import Path

from bench import Failed, find

NAME = "weechat"
ENTRY = "plug-in"
PACKAGES = "weechat-headless weechat-python"

SCRIPT = """\
import json, weechat, work
weechat.register("{name}", "nobody", "1", "MIT", "test", "", "")
with open("{folder}/{name}.answer", "w") as file:
    json.dump({{**work.answer(), "script": "{name}"}}, file)
"""


def play(bench):
    weechat = find("weechat-headless", PACKAGES)
    if not list(Path("/usr/lib").glob("*/weechat/plugins/python.so")):
        find("weechat-python", PACKAGES)
    version = bench.run(weechat, "--version", served=False).strip()
    names = ("one", "two")
    loads = []
    for name in names:
        script = bench.folder / f"{name}.py"
        script.write_text(SCRIPT.format(name=name, folder=bench.folder))
        loads += ["-r", f"/python load {script}"]
    bench.run(weechat, "--dir", bench.folder / "weechat", "--stdout",
              *loads, "-r", f"/python reload {names[0]}", "-r", "/quit")
    answers = [json.loads((bench.folder / f"{name}.answer").read_text())
               for name in names]
    if [answer.pop("script") for answer in answers] != list(names):
        raise Failed(f"scripts were mixed up: {answers}")
    return f"weechat {version}", json.dumps({**answers[0], "all": answers})
