"""pimalloc-run --check, with a stand-in that answers as it is told."""

import os
import shutil
import signal
import struct
import sys
import time

from cases_run import make_setuid
from harness import SECONDS, Skip, case, contains, equal

SERVED = "CPython 3.99.0 is served by pimalloc 9.9.9 (mimalloc 1)"
NO_PYTHON = "no CPython in this program at its start; one that it loads later is served"


def check(b, *words, answer=f"0 {SERVED}", **more):
    more["env"] = {"STANDIN_ANSWER": answer, **more.get("env", {})}
    return b.run("--check", *words, **more)


def answers(done, status, *parts):
    equal((done.returncode, done.stderr), (status, ""))
    contains(done.stdout, *parts)
    equal(done.stdout.count("\n"), 1, "number of lines")


@case
def check_prints_the_answer(b):
    """--check prints the library's answer and exits with its status"""
    for status, line in ((0, SERVED), (1, "not served: too old"), (2, NO_PYTHON)):
        done = check(b, "ls", answer=f"{status} {line}")
        equal((done.returncode, done.stdout, done.stderr), (status, f"ls: {line}\n", ""))


@case
def check_with_the_library_there_already(b):
    """--check works where LD_PRELOAD names the library by another path"""
    os.symlink(b.library.parent, b.path("linked-libdir"))
    link = b.path("linked-libdir/libpimalloc-preload.so")
    answers(check(b, "ls", env={"LD_PRELOAD": link}), 0, SERVED)


@case
def check_where_children_are_not_waited_for(b):
    """--check works where SIGCHLD is ignored"""
    done = check(b, "ls", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    answers(done, 0, SERVED)


@case
def check_runs_nothing(b):
    """--check does not run COMMAND, also if the library stays silent or is passed over"""
    witness = b.path("witness")
    answers(check(b, "touch", witness), 0)
    equal(os.path.exists(witness), False, "COMMAND ran")
    # A library that the loader passes over: no ELF file at all.
    root = b.make_tree("broken")
    (root / b.options.libdir / "libpimalloc-preload.so").write_text("nothing")
    done = check(b, "touch", witness, file=root / "bin/pimalloc-run")
    equal((done.returncode, done.stdout), (125, ""))
    contains(done.stderr, "could not be found out", "its loader passes the library over")
    equal(os.path.exists(witness), False, "COMMAND ran")


@case
def check_does_not_take_output_for_an_answer(b):
    """--check takes no output of COMMAND for an answer"""
    done = b.run("--check", "echo", "CPythons everywhere")
    equal((done.returncode, done.stdout), (125, ""))
    contains(done.stderr, "could not be found out whether", "echo", "gave no answer")


@case
def check_has_a_limit(b):
    """--check waits ten seconds, not for ever, and reads no stdin"""
    began = time.monotonic()
    done = b.run("--check", "sleep", str(10 * SECONDS))
    equal(done.returncode, 125)
    equal(time.monotonic() - began > 8, True, "about ten seconds at least")
    equal(b.run("--check", "cat", input="text").returncode, 125)


@case
def check_passes_options_on(b):
    """--check tells the library about other options and the environment"""
    code = "import os; print('not served: ' + os.environ['PIMALLOC_DEBUG'], end='\\n'); os._exit(1)"
    answers(b.run("--check", "--debug", sys.executable, "-c", code), 1, "not served: 1")


@case
def check_not_found(b):
    """--check of what cannot be executed: 127 and 126"""
    b.fails(127, "--check", "no-such-command-here", says=["not found in PATH"])
    b.fails(126, "--check", b.script("check-plain", "#!/bin/sh\n", mode=0o644),
            says=["cannot be executed"])
    os.mkfifo(b.path("check-pipe"), 0o755)
    for path in ("/", b.path("check-pipe")):
        b.fails(126, "--check", path, says=["cannot be executed"])
    b.fails(126, "--check", b.script("check-relative", "#!sh\n"),
            says=["its interpreter ./sh does not exist"])
    b.fails(126, "--check", b.script("check-lost", "#!/no/such/thing\n"),
            says=["its interpreter /no/such/thing does not exist"])


@case
def check_static(b):
    """--check of a static program: not served, without running it"""
    answers(check(b, b.compile("check-static", "-static")), 1,
            "not served: it is linked statically", "child processes are served")
    done = b.run("--check", "--no-children", b.path("check-static"))
    equal((done.returncode, "child processes" in done.stdout), (1, False))


@case
def check_setuid(b):
    """--check of a setuid program: not served"""
    program = shutil.copy("/bin/true", b.path("check-setuid"))
    make_setuid(program)
    answers(check(b, program), 1, "not served: it is setuid")


@case
def check_setgid_and_capabilities(b):
    """--check as another user: setgid and file capabilities are seen"""
    if os.getuid() != 0 or sys.version_info < (3, 9):
        raise Skip("only root can make such files")
    program = shutil.copy("/bin/true", b.path("check-setgid"))
    os.chown(program, 0, 0)
    os.chmod(program, 0o2755)
    other = {"user": 65534, "group": 65534, "extra_groups": []}
    answers(check(b, program, **other), 1, "not served: it is setgid")
    os.chmod(program, 0o755)
    try:
        # VFS_CAP_REVISION_2, effective: cap_net_bind_service
        os.setxattr(program, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    except OSError as error:
        raise Skip(f"no file capabilities here: {error}") from error
    answers(check(b, program, **other), 1, "not served: it has file capabilities")
    answers(check(b, program), 0)


@case
def check_other_machine(b):
    """--check of a program for another machine: not served"""
    with open("/bin/true", "rb") as file:
        code = bytearray(file.read())
    for name, at, value, says in (("32", 4, 1, "32-bit"), ("arm", 18, 40, "machine 40")):
        other = bytearray(code)
        other[at] = value
        path = b.path(f"check-machine-{name}")
        with open(path, "wb") as file:
            file.write(other)
        os.chmod(path, 0o755)
        answers(check(b, path), 1, "not served: it is built for another kind of machine", says)


@case
def check_unknown_format(b):
    """--check of a file whose format is not known does not run it"""
    done = check(b, b.script("check-unknown", "\0\1\2"))
    equal((done.returncode, done.stdout), (125, ""))
    contains(done.stderr, "could not be found out", "format is not known")


@case
def check_shell_script(b):
    """--check of a script names its interpreter and what is served"""
    script = b.script("check-script", "#!/bin/sh\nexit 5\n")
    done = check(b, script, answer=f"2 {NO_PYTHON}")
    answers(done, 2, f"{script} (/bin/sh): no CPython in the interpreter of this script",
            "programs that the script starts are served")


@case
def check_scripts_without_interpreter(b):
    """--check of text without an interpreter in its first line, which /bin/sh gets"""
    for name, text in (("t1", "exit 5\n"), ("t2", "#!\nexit 5\n"), ("t3", ""), ("t4", "#! \t\n")):
        path = b.script(name, text)
        answers(check(b, path), 0, f"{path} (/bin/sh): {SERVED}")
    path = b.script("t5", "#!/bin/sh \nexit 5\n\0\1\2")
    answers(check(b, path), 0, f"{path} (/bin/sh): {SERVED}")


@case
def check_lost_loader(b):
    """--check of a program whose loader is missing: 126, and its name"""
    program = b.compile("check-lost-loader", "-Wl,--dynamic-linker=/no/such/ld-linux.so.9")
    b.fails(126, "--check", program, says=["its loader /no/such/ld-linux.so.9 does not exist"])


@case
def check_script_chain(b):
    """--check follows scripts through #!, env, env -S and other scripts"""
    for name, line in (("c1", f"#!{sys.executable}"), ("c2", "#!/usr/bin/env ls"),
                       ("c3", "#! /usr/bin/env -S X=1 -u Y ls -l"), ("c4", f"#!{b.path('c2')} x")):
        path = b.script(name, line + "\n")
        answers(check(b, path), 0, f"{path} (", f"): {SERVED}")


@case
def check_env(b):
    """--check follows env as COMMAND, with its assignments, and sees what takes LD_PRELOAD away"""
    code = "import os; print('not served: ' + os.environ['SOME']); os._exit(1)"
    answers(b.run("--check", "env", "SOME=thing", sys.executable, "-c", code), 1, "served: thing")
    for words in (["-i"], ["-"], ["-u", "LD_PRELOAD"], ["-uLD_PRELOAD"], ["LD_PRELOAD=x"],
                  ["-S", "-i A=b"]):
        answers(check(b, "env", *words, "ls"), 1, "env takes LD_PRELOAD away")
    answers(check(b, "env", "ls"), 0, "env (", "/ls): CPython")
    answers(check(b, "env"), 0, "env: CPython")


@case
def check_options_of_env(b):
    """--check knows env's options in all spellings, and says so where it does not"""
    for words in (["--unset", "LD_PRELOAD"], ["--unset=LD_PRELOAD"], ["-vu", "LD_PRELOAD"],
                  ["-iS", "A=b"], ["-ivSA=b"], ["--split-string", "-i"], ["--ignore-environment"],
                  ["-C", "/", "-i"], ["-C/", "-u", "LD_PRELOAD"], ["--unse=LD_PRELOAD"], ["-v", "-"]):
        answers(check(b, "env", *words, "ls"), 1, "env takes LD_PRELOAD away")
    for words in (["-v"], ["-a", "x"], ["--argv0=x"], ["--default-signal=PIPE"], ["-vuX"],
                  ["--block-signal"], ["-u", "X", "--"], ["--chdir=/"], ["--split-string=A=b"],
                  ["--unse=X"]):
        answers(check(b, "env", *words, "ls"), 0, "env (", "/ls): CPython")
    os.makedirs(b.path("env-folder"))
    b.compile("env-folder/static", "-static")
    answers(check(b, "env", "--chdir", b.path("env-folder"), "./static"), 1, "linked statically")
    for words in (["--no-such"], ["-x"], ["--ig"], ["-S", "a 'b c'"], ["-u"], ["--chdir=/no"]):
        done = check(b, "env", *words, *(["ls"] if words != ["-u"] else []))
        equal((done.returncode, done.stdout), (125, ""))
        contains(done.stderr, "what env does with these options is not known here")


@case
def check_pyenv_shim(b):
    """--check asks pyenv about its shims"""
    os.makedirs(b.path("pyenv/libexec"))
    os.makedirs(b.path("pyenv/shims"))
    b.script("pyenv/libexec/pyenv",
             '#!/bin/sh\n[ "$1 $2" = "which tool" ] && echo /bin/ls || { echo no >&2; exit 127; }\n')
    text = ('#!/usr/bin/env bash\nset -e\nprogram="${0##*/}"\n'
            f'exec "{b.path("pyenv/libexec/pyenv")}" exec "$program" "$@"\n')
    shim = b.script("pyenv/shims/tool", text)
    answers(check(b, shim), 0, f"{shim} (/bin/ls): {SERVED}")
    path = b.path("pyenv/shims") + ":" + os.environ["PATH"]
    answers(check(b, "tool", env={"PATH": path}), 0, f"tool (/bin/ls): {SERVED}")
    unknown = b.script("pyenv/shims/other", text)
    done = check(b, unknown)
    equal((done.returncode, done.stdout), (127, ""))
    contains(done.stderr, "no\n", "pyenv knows no program for this shim")
