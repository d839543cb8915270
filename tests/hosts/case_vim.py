"""vim: linked with libpython (vim-nox), initialised at the first py3 command."""

from bench import Skip, find

NAME = "vim"
ENTRY = "linked"

SCRIPT = """\
import json, vim, work
result = work.answer()
vim.current.buffer[:] = [str(n) for n in range(1000)]
vim.command("%s/7/seven/g")
result["sevens"] = sum("seven" in line for line in vim.current.buffer)
vim.current.buffer[:] = [json.dumps(result)]
"""


def play(bench):
    vim = find("vim.nox", "vim-nox")
    listing = bench.run(vim, "--version", served=False)
    if "+python3" not in listing:
        raise Skip("vim-nox")
    script = bench.folder / "script.py"
    script.write_text(SCRIPT)
    result = bench.folder / "result"
    bench.run(vim, "-es", "-u", "NONE", "-i", "NONE", "-N", "-n",
              "-c", f"py3file {script}", "-c", f"write! {result}", "-c", "qa!")
    return listing.splitlines()[0].split(" (")[0], result.read_text()
