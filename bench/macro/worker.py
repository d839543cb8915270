#!/usr/bin/env python3
"""usage: worker.py --program NAME [options]

Runs one program of the macro benchmark in this Python and prints its figures.

  --program NAME    which program to run
  --loops N         how often (default: the program's LOOPS)
  --aged            ordinary imports first; the processor time of each loop is
                    in the output, as laps
  --rest SECONDS    of a little work, before memory is looked at once more
                    (default: 1)
  --allocator NAME  fail unless this is the allocator in use: pimalloc,
                    pymalloc, mimalloc, glibc, jemalloc, tcmalloc, rpmalloc or
                    libmimalloc
  --label NAME      the name of it in the output (default: the same)
  --programs DIR    folder of the programs (default: beside this file)
  --list            print the names of the programs
  --json            accepted, as by the host; there is no other output
  --help            this text

The allocator is chosen from outside, by PYTHONMALLOC or LD_PRELOAD.  The output
is one JSON object: real_s and cpu_s are of the loops alone, without imports and
setup(); start_kb is what was resident before them, peak_kb the high-water mark
of the process after them, after_kb what is resident after the rest.
"""

# Modules that Python has not imported at its start are imported after the
# measurement: they would be part of every peak.  Hence no argparse.
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# What CPython calls its allocator, and the library that is mapped.
ALLOCATORS = {"pymalloc": ("pymalloc", None), "mimalloc": ("mimalloc", None),
              "pimalloc": (None, "libpimalloc"), "glibc": ("malloc", None),
              "jemalloc": ("malloc", "libjemalloc"),
              "tcmalloc": ("malloc", "libtcmalloc"),
              "rpmalloc": ("malloc", "librpmalloc"),
              "libmimalloc": ("malloc", "libmimalloc")}
LIBRARIES = [library for _, library in ALLOCATORS.values() if library]


class Failure(Exception):
    """Something to tell the user in one line."""


def status_kb(field):
    """A figure of /proc/self/status.

    getrusage() will not do: its ru_maxrss is inherited across exec().
    """
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise Failure(f"/proc/self/status has no {field}")


def load_programs(folder):
    folder = os.path.realpath(folder)
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.dirname(folder))
    try:
        return __import__(os.path.basename(folder))
    except ImportError as error:
        raise Failure(f"--programs {folder}: {error}") from None


def timed(run, data, loops):
    """Calls run() and returns its digest, real and processor seconds."""
    clock, cpu_clock = time.perf_counter, time.process_time
    real, cpu = clock(), cpu_clock()
    digest = run(data)
    for _ in range(loops - 1):
        if run(data) != digest:
            raise Failure("two loops gave different digests")
    return str(digest), clock() - real, cpu_clock() - cpu


def measure(options):
    """Runs the program; what the JSON says."""
    program = options["--program"]
    programs = load_programs(options["--programs"])
    aged = "--aged" in options
    skipped, run, data, loops = programs.prepare(program, aged=aged)
    result = {"program": program, "interpreters": 1,
              "python": sys.version.split()[0]}
    if skipped:
        return {**result, "skipped": skipped}
    loops = options["--loops"] or loops
    start_kb = status_kb("VmRSS")
    digest, real, cpu = timed(run, data, loops)
    # The kernel counts resident pages roughly: in batches, for each processor.
    peak_kb = max(start_kb, status_kb("VmHWM"))
    programs.rest(options["--rest"])
    after_kb = status_kb("VmRSS")
    if aged:
        result["laps"] = run.seconds
    return {**result, "digest": digest, "loops": loops, "real_s": [real],
            "cpu_s": [cpu], "wall_s": real, "start_kb": start_kb,
            "peak_kb": peak_kb, "after_kb": after_kb}


def allocator_in_use():
    """CPython's own name for its allocator, None if it knows none; and the
    libraries in the process that are other allocators."""
    import ctypes
    name = ctypes.pythonapi._PyMem_GetCurrentAllocatorName
    name.restype = ctypes.c_char_p
    found = name()
    with open("/proc/self/maps", encoding="utf-8",
              errors="surrogateescape") as maps:
        text = maps.read()
    libraries = [library for library in LIBRARIES if f"/{library}" in text]
    if "libpimalloc" in libraries and "libmimalloc" in libraries:
        libraries.remove("libmimalloc")  # pimalloc may bring it
    return found.decode() if found else None, libraries


def check_allocator(wanted):
    """Names the allocator in use; Failure if it is not the one wanted."""
    name, libraries = allocator_in_use()
    for allocator, (its_name, library) in ALLOCATORS.items():
        if its_name == name and libraries == ([library] if library else []):
            break
    else:
        allocator = " with ".join([name or "one unknown", *libraries])
    if wanted and wanted != allocator:
        raise Failure(f"asked for {wanted}, but Python runs on {allocator}: "
                      "see PYTHONMALLOC, LD_PRELOAD, and the options -E and -I")
    # Without being told so, it may be the malloc() of a library unknown here.
    return wanted or name or allocator


def parse_arguments(arguments):
    options = {"--program": None, "--loops": None, "--allocator": None,
               "--label": None, "--rest": "1",
               "--programs": os.path.join(HERE, "programs")}
    words = [part for word in arguments for part in
             (word.split("=", 1) if word.startswith("--") else [word])]
    while words:
        word = words.pop(0)
        if word in ("--help", "--json", "--list", "--aged"):
            options[word] = True
        elif word not in options or not words:
            sys.exit(f"worker.py: {word}: unknown, or without a value (see "
                     "--help)")
        else:
            options[word] = words.pop(0)
    if options["--loops"] is not None:
        if not options["--loops"].isdecimal() or int(options["--loops"]) < 1:
            sys.exit("worker.py: --loops wants a number above 0")
        options["--loops"] = int(options["--loops"])
    try:
        options["--rest"] = float(options["--rest"])
    except ValueError:
        sys.exit("worker.py: --rest wants seconds")
    if options["--allocator"] not in (None, *ALLOCATORS):
        sys.exit(f"worker.py: --allocator {options['--allocator']}: unknown, "
                 f"there are {', '.join(ALLOCATORS)}")
    if not options["--program"] and not {"--help", "--list"} & set(options):
        sys.exit("worker.py: --program is missing (--list names them all)")
    return options


def main():
    options = parse_arguments(sys.argv[1:])
    if "--help" in options:
        print(__doc__, end="")
        return
    try:
        if "--list" in options:
            print("\n".join(load_programs(options["--programs"]).names()))
            return
        result = measure(options)
        allocator = check_allocator(options["--allocator"])
    except (Failure, LookupError) as error:
        sys.exit(f"worker.py: {error}")
    import json
    print(json.dumps({**result, "allocator": options["--label"] or allocator}))


if __name__ == "__main__":
    main()
