// options.c -- the command line of the macro benchmark's host.

#include "host.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// PIM_BENCH_PROGRAMS, the folder of the programs in the source tree, and
// PIM_BENCH_NAME, what the program is called, are set by the build.

static void
print_usage(FILE *out)
{
    fprintf(out,
            "usage: " PIM_BENCH_NAME " --program NAME [options]\n"
            "Runs one program of the macro benchmark in own-GIL interpreters,\n"
            "each on a thread of its own, and prints its figures as JSON.\n\n"
            "  --program NAME      which program to run\n"
            "  --loops N           how often (default: the program's LOOPS)\n"
            "  --interpreters N    so many at a time (default 1, at most %d)\n"
            "  --aged              ordinary imports first; the processor time "
            "of each\n"
            "                      loop is in the output, as laps\n"
            "  --rest SECONDS      of a little work, before memory is looked "
            "at once\n"
            "                      more (default 1)\n"
            "  --allocator NAME    pimalloc (default), pymalloc, mimalloc "
            "(3.13 and\n"
            "                      newer); malloc, which is libc's or what "
            "LD_PRELOAD\n"
            "                      puts in its place; or floor and ordered, "
            "which check\n"
            "                      nothing and serve one interpreter at a "
            "time\n"
            "  --label NAME        the allocator's name in the output; "
            "jemalloc, tcmalloc,\n"
            "                      rpmalloc and libmimalloc must be in the "
            "process\n"
            "                      (default: the same)\n"
            "  --programs DIR      folder of the programs\n"
            "                      (default: %s)\n"
            "  --json              accepted; there is no other output\n"
            "  --help              this text\n",
            HOST_INTERPRETERS_MAX, PIM_BENCH_PROGRAMS);
}

static _Noreturn void
bad_usage(const char *what, const char *value)
{
    fprintf(stderr, PIM_BENCH_NAME ": %s '%s' (see --help)\n", what, value);
    exit(2);
}

static long
parse_number(const char *what, const char *text, long max)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 1 ||
        number > max) {
        bad_usage(what, text);
    }
    return number;
}

static const char *
parse_allocator(const char *text)
{
    static const char *const known[] = {"pimalloc", "pymalloc", "mimalloc",
                                        "malloc",   "floor",    "ordered"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(text, known[i]) == 0) {
            return known[i];
        }
    }
    bad_usage("no such allocator:", text);
}

static double
parse_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0) || seconds > 3600) {
        bad_usage("bad number of seconds", text);
    }
    return seconds;
}

// Ends the process unless there is such a program.  A name is one of a Python
// module, so nothing in it leads out of the folder.
static void
check_program(const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s.py", folder, name);
    if (strchr(name, '/') != NULL || access(path, R_OK) != 0) {
        fprintf(stderr, PIM_BENCH_NAME ": there is no program '%s' in %s\n",
                name, folder);
        exit(2);
    }
}

static const char *
find_programs(const char *text)
{
    const char *path = realpath(text, NULL); // kept until the process ends
    if (path == NULL) {
        fprintf(stderr,
                PIM_BENCH_NAME ": the programs are not in %s: %s; name their "
                               "folder with --programs\n",
                text, strerror(errno));
        exit(2);
    }
    return path;
}

enum {
    PROGRAM = 1,
    LOOPS,
    COUNT,
    AGED,
    REST,
    ALLOCATOR,
    LABEL,
    FOLDER,
    JSON,
    HELP
};

// What one option says.
static void
take(int choice, options *opts)
{
    switch (choice) {
    case PROGRAM:
        opts->program = optarg;
        break;
    case LOOPS:
        opts->loops = parse_number("bad number of loops", optarg, 1000000);
        break;
    case COUNT:
        opts->interpreters = (int)parse_number("bad number of interpreters",
                                               optarg, HOST_INTERPRETERS_MAX);
        break;
    case AGED:
        opts->aged = true;
        break;
    case REST:
        opts->rest = parse_seconds(optarg);
        break;
    case ALLOCATOR:
        opts->allocator = parse_allocator(optarg);
        break;
    case LABEL:
        opts->label = optarg;
        break;
    case FOLDER:
        opts->programs = optarg;
        break;
    case JSON:
        break;
    case HELP:
        print_usage(stdout);
        exit(0);
    default:
        exit(2); // getopt_long has said why
    }
}

options
host_parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"program", required_argument, NULL, PROGRAM},
        {"loops", required_argument, NULL, LOOPS},
        {"interpreters", required_argument, NULL, COUNT},
        {"aged", no_argument, NULL, AGED},
        {"rest", required_argument, NULL, REST},
        {"allocator", required_argument, NULL, ALLOCATOR},
        {"label", required_argument, NULL, LABEL},
        {"programs", required_argument, NULL, FOLDER},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    options opts = {.allocator = "pimalloc",
                    .programs = PIM_BENCH_PROGRAMS,
                    .interpreters = 1,
                    .rest = 1.0};
    int choice;
    while ((choice = getopt_long(argc, argv, "", known, NULL)) != -1) {
        take(choice, &opts);
    }
    if (optind < argc) {
        bad_usage("unexpected argument", argv[optind]);
    }
    if (opts.program == NULL) {
        bad_usage("--program is missing, for example", "json");
    }
    opts.label = opts.label != NULL ? opts.label : opts.allocator;
    opts.programs = find_programs(opts.programs);
    check_program(opts.programs, opts.program);
    return opts;
}
