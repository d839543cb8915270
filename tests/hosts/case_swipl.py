"""SWI-Prolog: its library janus is a plug-in that is linked with libpython."""

from bench import find

NAME = "swipl"
ENTRY = "plug-in"

GOAL = ("py_call(work:answer(), Answer, [py_object(true)]),"
        "py_call(json:dumps(Answer), Text),"
        "py_call(math:factorial(10), 3628800),"
        "write('ANSWER '), write(Text), nl, halt")


def play(bench):
    swipl = find("swipl", "swi-prolog-nox")
    version = bench.run(swipl, "--version", served=False).split(" for ")[0]
    out = bench.run(swipl, "-f", "none", "--no-tty", "-g", GOAL,
                    "-t", "halt(1)")
    return version, out.partition("ANSWER ")[2]
