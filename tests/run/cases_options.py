"""The command line, and what becomes of it in the environment."""

import os
import subprocess
from pathlib import Path

from harness import Skip, case, contains, equal


@case
def help_text(b):
    """--help prints the usage on stdout and exits with 0"""
    done = b.run("--help")
    equal((done.returncode, done.stderr), (0, ""))
    contains(done.stdout, "Usage: pimalloc-run [OPTION]... [--] COMMAND", "--stats-signal=SIGNAL")
    equal(max(map(len, done.stdout.splitlines())) <= 80, True, "fits into 80 columns")


@case
def version_text(b):
    """--version prints name and version"""
    done = b.run("--version")
    equal((done.returncode, done.stdout, done.stderr),
          (0, f"pimalloc-run {b.options.version}\n", ""))


@case
def help_reports_a_full_disk(b):
    """--help into a full device is an error"""
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([b.run_file, "--help"], stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False)
    equal(done.returncode, 125)
    contains(done.stderr, "No space left")


@case
def no_command(b):
    """no COMMAND is a usage error, with and without options"""
    for words in ([], ["--"], ["--stats"], ["--check"], ["--verbose", "--"]):
        b.fails(125, *words, says=["there is no COMMAND", "--help"])


@case
def unknown_options(b):
    """unknown options are refused by name"""
    for word in ("--nonsense", "-x", "-", "--stat", "--statsx=json", "--help-me"):
        b.fails(125, word, "true", says=[f"there is no option {word}", "--help"])


@case
def values_nobody_wants(b):
    """a value for an option without one is refused"""
    for word in ("--debug=1", "--check=yes", "--help=me", "--verbose:x"):
        b.fails(125, word, "true", says=["takes no value"])


@case
def options_end(b):
    """options end at the first word that is none, and at --"""
    equal(b.run("echo", "--stats", "--", "-x").stdout, "--stats -- -x\n")
    equal(b.run("--verbose", "--", "printf", "%s\\n", "--help").stdout, "--help\n")
    b.fails(127, "--", "--stats", says=["--stats: not found in PATH"])


@case
def nothing_is_set_unasked(b):
    """without options no PIMALLOC_ variable is set"""
    done = b.run("env")
    equal([line for line in done.stdout.splitlines() if line.startswith("PIMALLOC_")], [])


@case
def simple_options(b):
    """--debug and --verbose set their variables"""
    equal(b.variable("PIMALLOC_DEBUG", "--debug"), "1")
    equal(b.variable("PIMALLOC_VERBOSE", "--verbose"), "1")


@case
def environment_stays(b):
    """variables that are set already stay, but for PIMALLOC_RUN_CHECK"""
    equal(b.variable("PIMALLOC_STATS", env={"PIMALLOC_STATS": "json"}), "json")
    equal(b.variable("PIMALLOC_STATS", "--stats", env={"PIMALLOC_STATS": "json"}), "text")
    equal(b.variable("PIMALLOC_CHECK", env={"PIMALLOC_CHECK": "1"}), "1")
    equal(b.variable("PIMALLOC_RUN_CHECK", env={"PIMALLOC_RUN_CHECK": "1"}), None)


@case
def stats_formats(b):
    """--stats takes a format and a file, which becomes absolute"""
    here = os.path.realpath(b.scratch)
    for word, wanted in (("--stats", "text"), ("--stats=text", "text"),
                         ("--stats=json", "json"), ("--stats=openmetrics", "openmetrics"),
                         ("--stats=json:out.json", f"json:{here}/out.json"),
                         ("--stats=:out", f"text:{here}/out"),
                         ("--stats:out", f"text:{here}/out"),
                         ("--stats=text:/a:b=c %p", "text:/a:b=c %p"),
                         ("--stats=json:%p/x", f"json:{here}/%p/x"),
                         ("--stats=json:/dev/stdout", "json:/dev/stdout")):
        equal(b.variable("PIMALLOC_STATS", word, cwd=here), wanted, word)


@case
def stats_mistakes(b):
    """bad formats are refused with the valid ones, bad files with the cause"""
    for word in ("--stats=xml", "--stats=out.json", "--stats=", "--stats=JSON:x"):
        b.fails(125, word, "true", says=["there is no format", "text, json and openmetrics"])
    b.fails(125, "--stats=json:", "true", says=["no file follows the colon"])
    b.fails(125, "--stats=json:/no/such/x", "true", says=["/no/such is no directory"])
    b.fails(125, "--stats=json:/dev", "true", says=["/dev is a directory"])
    b.fails(125, "--stats=json:" + "x" * 5000, "true", says=["too long"])
    b.fails(125, f"--stats=json:{b.script('plain-file', '')}/x", "true",
            says=["plain-file is no directory"])


@case
def stats_in_a_closed_directory(b):
    """a folder that cannot be looked at is said to be closed, not to be missing"""
    if os.getuid() != 0:
        raise Skip("only root can run as another user")
    closed = Path(b.path("closed"))
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    done = b.fails(125, f"--stats=json:{closed}/inner/x", "true", user=65534, group=65534,
                   extra_groups=[], says=[f"{closed}/inner: Permission denied"])
    equal("no directory" in done.stderr, False, "that it is no directory")


@case
def leaks_forms(b):
    """--leaks takes a form and a file like --stats"""
    here = os.path.realpath(b.scratch)
    for word, wanted in (("--leaks", "text"), ("--leaks=text", "text"), ("--leaks=json", "json"),
                         ("--leaks=fail", "fail"), ("--leaks=fail:x", f"fail:{here}/x"),
                         ("--leaks=json:%p/x", f"json:{here}/%p/x"),
                         ("--leaks:out", f"text:{here}/out")):
        equal(b.variable("PIMALLOC_LEAKS", word, cwd=here), wanted, word)
    for word in ("--leaks=xml", "--leaks=openmetrics", "--leaks="):
        b.fails(125, word, "true", says=["--leaks: there is no format", "text, json and fail"])
    b.fails(125, "--leaks=fail:", "true", says=["--leaks: no file follows the colon"])
    b.fails(125, "--leaks=json:/no/such/x", "true", says=["--leaks: /no/such is no directory"])


@case
def record_files(b):
    """--record takes a file, which becomes absolute, and has a default"""
    here = os.path.realpath(b.scratch)
    for word, wanted in (("--record", f"{here}/pimalloc-%p.record"), ("--record=x", f"{here}/x"),
                         ("--record=a:b", f"{here}/a:b"), ("--record=/tmp/%p", "/tmp/%p")):
        equal(b.variable("PIMALLOC_RECORD", word, cwd=here), wanted, word)
    for word in ("--record=", "--record:x"):
        b.fails(125, word, "true", says=["--record needs a file: --record=FILE"])
    b.fails(125, "--record=/no/such/x", "true", says=["--record: /no/such is no directory"])
    b.fails(125, "--record=/dev", "true", says=["/dev is a directory"])


@case
def profile(b):
    """--profile takes one of four formats and a file, its period and its turns"""
    here = os.path.realpath(b.scratch)
    for word, wanted in (("--profile", "html"), ("--profile=pprof", "pprof"),
                         ("--profile=folded", "folded"), ("--profile=speedscope", "speedscope"),
                         ("--profile:x-%n", f"html:{here}/x-%n"),
                         ("--profile=pprof:%p.pb.gz", f"pprof:{here}/%p.pb.gz")):
        equal(b.variable("PIMALLOC_PROFILE", word, cwd=here), wanted, word)
    for word in ("--profile=svg", "--profile=", "--profile=json:x"):
        b.fails(125, word, "true", says=["--profile: there is no format",
                                         "html, pprof, folded and speedscope", "=pprof:FILE"])
    b.fails(125, "--profile=html:", "true", says=["leave the colon out for a file"])
    b.fails(125, "--profile=html:/no/such/x", "true", says=["--profile: /no/such is no directory"])
    for word in ("1K", "512K", "1048576", "1T"):
        equal(b.variable("PIMALLOC_PROFILE_PERIOD", f"--profile-period={word}"), word)
    for word, lack in (("", "no digit"), ("64KB", "units K, M, G and T"), ("1023", "1K and 1T"),
                       ("2T", "1K and 1T")):
        b.fails(125, f"--profile-period={word}", "true", says=[f'"{word}"', lack, "=64K"])
    for word in ("1", "60:24"):
        equal(b.variable("PIMALLOC_PROFILE_EVERY", f"--profile-every={word}"), word)
    for word in ("", "0", "1:0", "1:", "x", "-1", "1000001"):
        b.fails(125, f"--profile-every={word}", "true", says=["1 to 1000000", "=60:24"])
    for word in ("--profile-every", "--profile-every:1", "--profile-period"):
        b.fails(125, word, "true", says=["needs"])


@case
def trace_frames(b):
    """--trace takes a number of frames, or none"""
    for word, wanted in (("--trace", "1"), ("--trace=1", "1"), ("--trace=256", "256")):
        equal(b.variable("PIMALLOC_TRACE", word), wanted, word)
    for word in ("--trace=0", "--trace=257", "--trace=x", "--trace=", "--trace:x"):
        b.fails(125, word, "true", says=["--trace", "1 to 256 frames"])


@case
def stats_in_a_directory_with_a_per_cent_sign(b):
    """a per cent sign in the current directory stands for itself, and %% in FILE for one"""
    here = Path(os.path.realpath(b.scratch)) / "100%pure"
    here.mkdir()
    for word, wanted in (("out.json", "100%%pure/out.json"), ("%p%%p", "100%%pure/%p%%p"),
                         ("../100%%pure/x", "100%%pure/../100%%pure/x")):
        equal(b.variable("PIMALLOC_STATS", f"--stats=json:{word}", cwd=here),
              f"json:{here.parent}/{wanted}", word)
    done = b.fails(125, "--stats=json:a%%b/x", "true", cwd=here, says=[f"{here}/a%b is no"])
    equal("%%" in done.stderr, False, "the escape in the message")
    b.fails(125, f"--stats=json:{str(here).replace('%', '%%')}", "true", says=["is a directory"])


@case
def stats_from_a_lost_directory(b):
    """a relative file in a directory that is gone is refused"""
    lost = Path(b.path("lost"))
    lost.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'cd "$1" && rmdir "$1" && exec "$2" --stats=:x true', "sh", lost, b.run_file],
        capture_output=True, text=True, check=False)
    equal(done.returncode, 125)
    contains(done.stderr, "current directory is not known", "absolute path")


@case
def signals(b):
    """--stats-signal takes names and numbers and refuses what cannot work"""
    for word, wanted in (("USR1", "10"), ("SIGUSR1", "10"), ("sigusr2", "12"), ("10", "10"),
                         ("HUP", "1"), ("40", "40"), ("RTMIN", "34"), ("SIGRTMIN+1", "35")):
        equal(b.variable("PIMALLOC_STATS_SIGNAL", f"--stats-signal={word}"), wanted)
    for word in ("KILL", "9", "STOP", "SIGSEGV", "CHLD", "33"):
        b.fails(125, f"--stats-signal={word}", "true", says=["cannot be used", "USR1"])
    for word in ("FOO", "0", "-1", "1000", "10x", "SIG", "RTMIN+99", "RTMINX"):
        b.fails(125, f"--stats-signal={word}", "true", says=["there is no signal"])
    for word in ("--stats-signal", "--stats-signal="):
        b.fails(125, word, "true", says=["needs a signal"])


@case
def limits(b):
    """--limit takes one size or two and refuses what is none"""
    for word in ("64M", "64M:1G", "1048576", "1024K"):
        equal(b.variable("PIMALLOC_LIMIT", f"--limit={word}"), word)
    for word, lack in (("", "no digit"), ("x", "no digit"), ("-1M", "no digit"), (":2M", "no digit"),
                       ("64MB", "units K, M, G and T"), ("64MiB", "units K, M, G and T"),
                       ("64m", "units K, M, G and T"), ("1.5G", "no whole number"),
                       ("64M:65M:66M", "no whole number"), ("99999999999999999999", "64 bits"),
                       ("0", "less than 1M"), ("64", "less than 1M"), ("64K:64M", "less than 1M"),
                       ("2M:1M", "smaller than the first")):
        b.fails(125, f"--limit={word}", "true", says=[f'"{word}"', lack, "--limit=64M:72M"])
    for word in ("--limit", "--limit:64M"):
        b.fails(125, word, "true", says=["--limit=64M:72M"])


@case
def no_children(b):
    """--no-children sets PIMALLOC_CHILDREN, and what a parent made of it says nothing"""
    equal(b.variable("PIMALLOC_CHILDREN"), None)
    equal(b.variable("PIMALLOC_CHILDREN", "--no-children"), "0")
    for old, new in (("0", "0"), ("0:1", "0"), ("1", "1")):
        equal(b.variable("PIMALLOC_CHILDREN", env={"PIMALLOC_CHILDREN": old}), new, old)


@case
def limit_tree(b):
    """--limit-tree takes one of three words"""
    for word in ("none", "tenants", "all"):
        equal(b.variable("PIMALLOC_LIMIT_TREE", f"--limit-tree={word}"), word)
    for word in ("--limit-tree", "--limit-tree=", "--limit-tree=yes",
                 "--limit-tree:all"):
        b.fails(125, word, "true", says=["needs none, tenants or all"])


@case
def faults(b):
    """--faults takes rules and refuses what is none"""
    for word in ("every=1000,domain=obj", "nth=3;probability=0.01,seed=7,interp=process",
                 "every=1,function=f.<locals>.g,min_size=4K,max_size=1M"):
        equal(b.variable("PIMALLOC_FAULTS", f"--faults={word}"), word)
    for word, lack in (("", "something else than nth="), ("every", "something else than nth="),
                       ("every=1,size=3", "something else than nth="),
                       ("every=1;", None), ("every=x", "not whole"), ("every=0", "count from 1"),
                       ("every=1,nth=1", "none or several"), ("domain=obj", "none or several"),
                       ("probability=1.5", "up to 1"), ("every=1,domain=x", "none of raw, mem"),
                       ("every=1,interp=-1", "neither an id"), ("every=1,function=", "a name"),
                       ("every=1,min_size=2,max_size=1", "below min_size")):
        if lack is not None:
            b.fails(125, f"--faults={word}", "true", says=[f'"{word}"', lack, "--faults needs"])
        else:
            equal(b.variable("PIMALLOC_FAULTS", f"--faults={word}"), word)
    b.fails(125, "--faults", "true", says=["needs KEY=VALUE"])


@case
def module_path(b):
    """--with-module appends to PYTHONPATH, once"""
    b.fails(125, "--with-module", "true", says=["pimalloc.abi3.so is missing"])
    folder = b.root / "lib/python"
    folder.mkdir(parents=True)
    (folder / "pimalloc.abi3.so").touch()
    folder = os.path.realpath(folder)
    equal(b.variable("PYTHONPATH", "--with-module"), folder)
    equal(b.variable("PYTHONPATH", "--with-module", env={"PYTHONPATH": ""}), folder)
    equal(b.variable("PYTHONPATH", "--with-module", env={"PYTHONPATH": "/a:b"}), f"/a:b:{folder}")
    equal(b.variable("PYTHONPATH", "--with-module", b.run_file, "--with-module"), folder)
