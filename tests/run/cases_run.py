"""Becoming COMMAND, and the preload library on the way."""

import os
import shutil
import signal
import subprocess
import sys

from harness import Skip, case, contains, equal


def real(path):
    return os.path.realpath(path)


@case
def exit_statuses(b):
    """the exit status is COMMAND's, 0 to 255"""
    for status in range(256):
        equal(b.run("sh", "-c", f"exit {status}").returncode, status)


@case
def death_by_signal(b):
    """death by a signal is COMMAND's"""
    for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL, signal.SIGINT):
        equal(b.run("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$").returncode, -number)


@case
def same_process(b):
    """COMMAND has the process id that pimalloc-run had, and gets its signals"""
    child = subprocess.Popen([b.run_file, "sh", "-c", "echo $$; exec sleep 60"],
                             stdout=subprocess.PIPE, text=True)
    with child:
        equal(int(child.stdout.readline()), child.pid)
        child.terminate()
        equal(child.wait(), -signal.SIGTERM)


@case
def streams(b):
    """stdin, stdout and stderr pass through"""
    done = b.run("sh", "-c", "cat; echo err >&2", input="in\n")
    equal((done.stdout, done.stderr), ("in\n", "err\n"))


@case
def arguments(b):
    """arguments arrive as they were given"""
    words = ["", "a b", "line\nline", "tab\t", "--", "-x", "*", "\"'\\", "ü"]
    done = b.run(sys.executable, "-c", "import sys; print(sys.argv[1:])", *words)
    equal(done.stdout, f"{words}\n")


@case
def arguments_and_name(b):
    """argv[0] is what was typed"""
    equal(b.run("sh", "-c", "cat /proc/$$/cmdline").stdout.split("\0")[0], "sh")


@case
def statuses_of_our_own(b):
    """127: not found; 126: cannot be executed; and why"""
    b.fails(127, "no-such-command-here", says=["not found in PATH"])
    b.fails(127, "./no-such-file", says=["./no-such-file: not found"])
    b.fails(127, "", says=["not found"])
    b.fails(127, "A=b", "true", says=["to set a variable, write it in front of pimalloc-run"])
    b.fails(126, "/", says=["/: cannot be executed", "denied"])
    b.fails(126, "/dev/null/x", says=["Not a directory"])
    plain = b.script("plain", "#!/bin/sh\n", mode=0o644)
    b.fails(126, plain, says=[f"{plain}: cannot be executed", "denied"])
    lost = b.script("lost-interpreter", "#!/no/such/interpreter -x\n")
    b.fails(126, lost, says=[f"{lost}: its interpreter /no/such/interpreter does not exist", "interpreter -x"])
    nested = b.script("nested-interpreter", f"#!{lost} -y\n")
    b.fails(126, nested, says=[f"{lost}: its interpreter /no/such/interpreter does not exist"])
    done = b.run("true", unset=["PATH"])
    equal(done.returncode, 0, "exit status without PATH")


@case
def lost_loader(b):
    """a program whose loader is missing: 126, and its name"""
    program = b.compile("lost-loader", "-Wl,--dynamic-linker=/no/such/ld-linux.so.9")
    b.fails(126, program, says=["its loader /no/such/ld-linux.so.9 does not exist"])


@case
def script_of_itself(b):
    """a script that is its own interpreter: 126, also with --check"""
    itself = b.script("itself", f"#!{b.path('itself')}\n")
    b.fails(126, itself, says=[f"{itself}: cannot be executed"])
    b.fails(126, "--check", itself, says=[f"{itself}: too many scripts"])


@case
def path_like_the_shell(b):
    """PATH is searched past directories and files that are not executable"""
    for name in ("p1", "p2", "p3"):
        os.mkdir(b.path(name))
    os.mkdir(b.path("p1/tool"))
    b.script("p2/tool", "#!/bin/sh\necho two\n", mode=0o644)
    found = b.script("p3/tool", "#!/bin/sh\necho three\n")
    path = ":".join(map(b.path, ("p1", "p2", "p3"))) + ":" + os.environ["PATH"]
    equal(b.run("tool", env={"PATH": path}).stdout, "three\n")
    os.unlink(found)
    b.fails(126, "tool", env={"PATH": path}, says=["cannot be executed"])


@case
def preload_alone(b):
    """LD_PRELOAD is the library's real path"""
    equal(b.variable("LD_PRELOAD"), real(b.library))
    equal(b.variable("LD_PRELOAD", env={"LD_PRELOAD": ""}), real(b.library))


@case
def preload_kept(b):
    """an existing LD_PRELOAD stays in front, whatever separates it"""
    other = shutil.copy(b.options.standin, b.path("other.so"))
    for old in (other, f"{other}:{b.options.standin}", f"{other} {b.options.standin}",
                f" {other} :"):
        equal(b.variable("LD_PRELOAD", env={"LD_PRELOAD": old}), f"{old}:{real(b.library)}")


@case
def preload_once(b):
    """nested launchers preload once, also through another name of the file"""
    equal(b.variable("LD_PRELOAD", b.run_file, b.run_file), real(b.library))
    link = b.path("link-to-library.so")
    os.symlink(b.library, link)
    for old in (link, f"/x {link}", f"{link}:/x"):
        equal(b.variable("LD_PRELOAD", env={"LD_PRELOAD": old}), old)


@case
def library_is_loaded(b):
    """the library is in COMMAND and in the programs that it starts"""
    trace = b.path("trace")
    done = b.run("sh", "-c", "ls / >/dev/null; exec true", env={"STANDIN_TRACE": trace})
    equal((done.returncode, done.stderr), (0, ""))
    with open(trace, encoding="utf-8") as lines:
        equal(lines.read().split(), ["sh", "ls", "true"])


@case
def ls_as_always(b):
    """/bin/ls prints what it prints without"""
    equal(b.run("/bin/ls", "/").stdout,
          subprocess.run(["/bin/ls", "/"], capture_output=True, text=True, check=True).stdout)


@case
def shell_scripts(b):
    """scripts with #!, with env, and without any first line run"""
    for name, line in (("s1", "#!/bin/sh\n"), ("s2", "#!/usr/bin/env sh\n"),
                       ("s3", "#!/usr/bin/env -S sh -e\n"), ("s4", "")):
        done = b.run("--verbose", b.script(name, line + 'echo "$1"\n'), "a b")
        equal((done.stdout, done.stderr), ("a b\n", ""))


@case
def static_program(b):
    """a static program runs; --verbose says in one line why it is not served"""
    program = b.compile("static", "-static")
    done = b.run(program)
    equal((done.returncode, done.stderr), (7, ""))
    for more in ({}, {"env": {"PIMALLOC_VERBOSE": "1"}}):
        done = b.run(*([] if more else ["--verbose"]), program, **more)
        equal((done.returncode, done.stderr.count("\n")), (7, 1))
        contains(done.stderr, f"pimalloc-run: {program} is not served: it is linked statically")


@case
def static_program_without_children(b):
    """--no-children prepares nothing for a program that the library does not come to"""
    program = b.compile("static-shell", "-static", code="""#include <stdio.h>
        #include <stdlib.h>
        int main(void) { printf("%d %d\\n", getenv("LD_PRELOAD") != NULL,
                                getenv("PIMALLOC_STATS") != NULL); }""")
    equal(b.run("--stats", program).stdout, "1 1\n")
    done = b.run("--stats", "--no-children", "--verbose", program)
    equal(done.stdout, "0 0\n")
    equal("child processes are served" in done.stderr, False, "a promise")
    equal(b.run("--stats", program, env={"PIMALLOC_CHILDREN": "0"}).stdout, "0 0\n")


@case
def what_is_missed_where_nothing_is_served(b):
    """who asks for limits, leaks and the like of what is not served is told that there are none"""
    static = b.compile("static-alone", "-static")
    for word in ("--limit=64M", "--leaks", "--leaks=json", "--faults=every=9", "--profile", "--record"):
        done = b.run(word, "--no-children", static)
        equal((done.returncode, done.stderr.count("\n")), (7, 1))
        contains(done.stderr, f"{static} is not served, and what was asked for with it does nothing: ")
        equal(b.run(word, static).stderr, "", "its child processes are served")
        done = b.run(word, "env", "-i", "/bin/sh", "-c", "exit 3")
        equal((done.returncode, done.stderr.count("\n")), (3, 1))
        contains(done.stderr, " nothing: ", "between env and the command")
    b.fails(125, "--leaks=fail", "--no-children", static, says=["could tell nothing", "statically"])
    b.fails(125, "--leaks=fail", "env", "-i", "true", says=["could tell nothing", "between env"])
    equal(b.run("--leaks=fail", static).returncode, 7)


@case
def setuid_program(b):
    """a setuid program runs; --verbose says why it is not served"""
    program = b.compile("setuid")
    make_setuid(program)
    done = b.run("--verbose", program)
    equal((done.returncode, done.stderr.count("\n")), (7, 1))
    contains(done.stderr, "it is setuid", "ignore LD_PRELOAD")
    os.chmod(program, 0o755)
    equal(b.run("--verbose", program).stderr, "")


def make_setuid(path):
    if os.getuid() != 0:
        raise Skip("only root can make one of another user")
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        raise Skip("the folder for temporary files is mounted nosuid")
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o4755)


@case
def setuid_launcher(b):
    """a launcher with raised privileges runs COMMAND as always and loads nothing"""
    root = b.make_tree("setuid-tree")
    launcher = root / "bin/pimalloc-run"
    beside = root / b.options.libdir / "pimalloc/libmimalloc.so.3"
    beside.parent.mkdir()
    shutil.copy(b.options.standin, beside)
    make_setuid(launcher)
    trace = b.path("setuid-trace")
    for named in ({}, {"PIMALLOC_MIMALLOC": b.options.standin}):
        done = b.run("--with-malloc", "--stats", "sh", "-c", "echo $LD_PRELOAD$PIMALLOC_STATS",
                     file=launcher, env={"STANDIN_TRACE": trace, **named})
        equal((done.returncode, done.stdout, done.stderr), (0, "\n", ""))
    done = b.run("--check", "--with-malloc", "true", file=launcher, env={"STANDIN_TRACE": trace})
    equal(done.returncode, 1)
    contains(done.stdout, "not served: this process has raised privileges")
    equal(os.path.exists(trace), False, "something of the tree was loaded")


@case
def other_c_library(b):
    """a program of another C library runs, is not preloaded, and --verbose says so"""
    native = b.compile("native", code="""#include <stdio.h>
        #include <stdlib.h>
        int main(void) { puts(getenv("LD_PRELOAD") ? "preloaded" : "plain"); }""")
    loader = subprocess.run(["readelf", "-p", ".interp", native], capture_output=True,
                            text=True, check=False).stdout.split()[-1:]
    if not loader or not os.path.exists(loader[0]):
        raise Skip("readelf does not tell the loader")
    os.symlink(loader[0], b.path("ld-musl-x86_64.so.1"))
    foreign = b.compile("foreign", f"-Wl,--dynamic-linker={b.path('ld-musl-x86_64.so.1')}",
                        code=open(native + ".c", encoding="ascii").read())
    equal(b.run("--verbose", native).stdout, "preloaded\n")
    done = b.run("--verbose", foreign)
    equal(done.stdout, "plain\n")
    contains(done.stderr, "uses another C library")
    equal(b.run(foreign).stderr, "")


@case
def missing_library(b):
    """without its library the launcher says where it looked, and runs nothing"""
    root = b.make_tree("incomplete")
    os.unlink(root / b.options.libdir / "libpimalloc-preload.so")
    done = b.fails(125, "echo", "no", file=root / "bin/pimalloc-run",
                   says=["libpimalloc-preload.so is missing", f"{real(root)}/lib"])
    equal("/.." in done.stderr, False, "dots in the path")
    equal(b.run("--help", file=root / "bin/pimalloc-run").returncode, 0, "status of --help")


@case
def moved_tree(b):
    """a tree that was moved works, also through symbolic links to the launcher"""
    os.rename(b.make_tree("before"), b.path("after"))
    moved = f"{real(b.path('after'))}/{b.options.libdir}/libpimalloc-preload.so"
    equal(b.variable("LD_PRELOAD", file=b.path("after/bin/pimalloc-run")), moved)
    os.mkdir(b.path("elsewhere"))
    os.symlink("../after/bin/pimalloc-run", b.path("elsewhere/run"))
    os.symlink("elsewhere", b.path("linked"))
    equal(b.variable("LD_PRELOAD", file=b.path("linked/run")), moved)
    path = b.path("elsewhere") + ":" + os.environ["PATH"]
    equal(b.variable("LD_PRELOAD", file="run", env={"PATH": path}), moved)


@case
def unusable_place(b):
    """a path with a colon, a space or a dollar sign cannot be preloaded, and it is said"""
    for name in ("with space", "with:colon"):
        root = b.make_tree(name)
        b.fails(125, "true", file=root / "bin/pimalloc-run",
                says=["LD_PRELOAD", "a colon or a space", "install pimalloc in a path without"])
    b.fails(125, "true", file=b.make_tree("with$LIB") / "bin/pimalloc-run",
            says=["LD_PRELOAD", "dollar sign"])


@case
def no_proc(b):
    """without /proc the launcher still finds its library"""
    code = ("import ctypes, os, sys\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "sys.exit(77 if libc.unshare(0x20000) or libc.mount(b'none', b'/', None, 0x44000, None)"
            " or libc.mount(b'none', b'/proc', b'tmpfs', 0, None) else"
            " os.execv(sys.argv[1], sys.argv[1:]))\n")
    done = subprocess.run([sys.executable, "-c", code, b.run_file, "sh", "-c", "echo $LD_PRELOAD"],
                          capture_output=True, text=True, check=False)
    if done.returncode == 77 or b.options.sanitized:
        raise Skip("needs a mount namespace, and no sanitizer")
    equal((done.stdout, done.stderr), (f"{real(b.library)}\n", ""))


@case
def with_malloc(b):
    """--with-malloc preloads the mimalloc beside the library, behind it"""
    if not b.options.mimalloc or b.options.sanitized:
        raise Skip("needs a mimalloc, and no sanitizer, which has a malloc of its own")
    beside = b.library.parent / "pimalloc/libmimalloc.so.3"
    beside.parent.mkdir()
    os.symlink(b.options.mimalloc, beside)
    wanted = f"{real(b.library)}:{real(b.library.parent)}/pimalloc/libmimalloc.so.3"
    equal(b.variable("LD_PRELOAD", "--with-malloc"), wanted)
    equal(b.variable("LD_PRELOAD", "--with-malloc", b.run_file, "--with-malloc"), wanted)
    named = os.path.realpath(b.options.mimalloc)
    equal(b.variable("LD_PRELOAD", "--with-malloc", env={"PIMALLOC_MIMALLOC": named}),
          f"{real(b.library)}:{named}")
    done = b.run("--with-malloc", "grep", "-c", "libmimalloc", "/proc/self/maps")
    equal(int(done.stdout) > 0, True, "mimalloc is in the process")


@case
def with_malloc_without_room(b):
    """--with-malloc says so where mimalloc would end the process for want of address space"""
    if not b.options.mimalloc or b.options.sanitized:
        raise Skip("needs a mimalloc, and no sanitizer, which needs address space itself")
    limited = b.script("limited", f'#!/bin/sh\nulimit -v 12000\nexec {b.run_file} "$@"\n')
    b.fails(125, "--with-malloc", "true", file=limited, says=["no address space", "ulimit -v"],
            env={"PIMALLOC_MIMALLOC": os.path.realpath(b.options.mimalloc)})


@case
def with_malloc_without(b):
    """--with-malloc without a usable mimalloc names the cause"""
    for named in ("/no/such/file", b.options.standin, b.options.old_mimalloc):
        if named:
            b.fails(125, "--with-malloc", "true", env={"PIMALLOC_MIMALLOC": named},
                    says=[f"PIMALLOC_MIMALLOC={named}", "3.6 or newer"])
    root = b.make_tree("without-mimalloc")
    if not b.options.old_mimalloc:
        raise Skip("no old mimalloc was given")
    beside = root / b.options.libdir / "pimalloc/libmimalloc.so.3"
    beside.parent.mkdir()
    os.symlink(b.options.old_mimalloc, beside)
    done = b.run("--with-malloc", "true", file=root / "bin/pimalloc-run")
    if done.returncode == 0:
        raise Skip("the system has one")
    equal(done.returncode, 125)
    contains(done.stderr, "needs libmimalloc 3.6 or newer", "too old", "PIMALLOC_MIMALLOC")
