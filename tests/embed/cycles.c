// cycles.c -- what an interpreter leaves behind at its end, and what it costs.
//
// A measuring program, not a test: it has no opinion unless --max-growth gives
// it one.  One cycle, on the main thread, one interpreter at a time:
//
//     Py_NewInterpreterFromConfig(own GIL, own allocator state)
//     import json, re, collections
//     [ leak one object, on purpose ]
//     Py_EndInterpreter()
//
// Growth is resident memory (second field of /proc/self/statm) at the end of
// the last cycle, less the same after CYCLES_WARMUP cycles, divided by the
// cycles in between.  The first cycles are left out because they pay for what
// is kept once for the whole process: static types, interned strings, the
// allocator's own tables, pages touched for the first time.
//
// Time per cycle is wall time over the same cycles.  The total is taken from
// before Py_PreInitialize() to after Py_FinalizeEx(); the processor time is of
// the whole process, and steadier than wall time on a machine that does other
// work too.
//
// Both allocators run the same code in the same binary; with
// --allocator=python nothing but the install call is left out.  Python is
// configured isolated, so PYTHONMALLOC and the like have no influence.
//
// scripts/measure-cycles runs it in pairs and prints the table for the docs.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pimalloc/tenants.h>

// PIM_TEST_PYTHON, the python executable to run as, is set by the build.

#define CYCLES_DEFAULT 300
#define CYCLES_WARMUP 20
#define CYCLES_MAX 1000000
#define LEAKED_BYTES (1024 * 1024)
#define REFUSED 3 // exit status: this Python does not allow the policy

enum leak { LEAK_NOTHING, LEAK_OBJECT, LEAK_BYTES };

static const char *const leak_names[] = {"nothing", "object", "bytes"};
static const char *const policy_names[] = {"default", "keep", "poison",
                                           "release"};

typedef struct options {
    long cycles;
    enum leak leak;
    bool pimalloc; // false: CPython's own allocator
    int policy;    // enum pimalloc_policy, 0: the default
    bool json;
    double max_growth_kb; // negative: no limit
} options;

typedef struct figures {
    long first_kb;        // resident after CYCLES_WARMUP cycles
    long last_kb;         // resident after the last cycle
    double growth_kb;     // per cycle in between
    double cycle_seconds; // per cycle in between
    double total_seconds; // the whole life of the runtime
    double cpu_seconds;   // processor time of the process
} figures;

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "cycles: %s\n", what);
    exit(1);
}

static double
clock_seconds(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) {
        fail("a clock is missing");
    }
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long
resident_kb(void)
{
    long size_pages = 0;
    long resident_pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL ||
        fscanf(statm, "%ld %ld", &size_pages, &resident_pages) != 2) {
        fail("/proc/self/statm cannot be read");
    }
    fclose(statm);
    return resident_pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// --- the work ----------------------------------------------------------------

static void
python_check(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

static void
python_start(bool pimalloc, int policy)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    python_check(Py_PreInitialize(&preconfig));
    if (pimalloc) {
        int err = pimalloc_install(NULL);
        if (err != 0) {
            fail(pimalloc_strerror(err));
        }
        err = policy != 0 ? pimalloc_policy_set(PIMALLOC_EACH, policy) : 0;
        if (err == -ENOTSUP) {
            fprintf(stderr, "cycles: %s\n", pimalloc_strerror(err));
            exit(REFUSED);
        }
        if (err != 0) {
            fail(pimalloc_strerror(err));
        }
    }

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    python_check(PyConfig_SetBytesString(&config, &config.program_name,
                                         PIM_TEST_PYTHON));
    python_check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    if ((pimalloc_active() != 0) != pimalloc) {
        fail("Python does not run on the allocator that was asked for");
    }
}

// Leaves one object alive that nothing refers to, as a missing Py_DECREF in an
// extension module would.
static void
leak_one(enum leak leak)
{
    PyObject *leaked = NULL;
    switch (leak) {
    case LEAK_NOTHING:
        return;
    case LEAK_OBJECT:
        leaked = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
        break;
    case LEAK_BYTES:
        leaked = PyBytes_FromStringAndSize(NULL, LEAKED_BYTES);
        if (leaked != NULL) {
            // Untouched pages would not be resident.
            memset(PyBytes_AsString(leaked), 'x', LEAKED_BYTES);
        }
        break;
    }
    if (leaked == NULL) {
        fail("the object to leak could not be made");
    }
    Py_IncRef(leaked); // the stray one
    Py_DecRef(leaked);
}

// One interpreter from birth to end.  Entered and left with the main
// interpreter's thread state current.
static void
run_cycle(enum leak leak)
{
    const PyInterpreterConfig own_gil = {
        .use_main_obmalloc = 0,
        .allow_fork = 0,
        .allow_exec = 0,
        .allow_threads = 1,
        .allow_daemon_threads = 0,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *inner = NULL;
    python_check(Py_NewInterpreterFromConfig(&inner, &own_gil));
    if (PyRun_SimpleString("import json, re, collections\n") != 0) {
        fail("the interpreter could not import");
    }
    leak_one(leak);
    Py_EndInterpreter(inner);
    PyThreadState_Swap(outer);
}

static figures
measure(const options *opts)
{
    figures got = {0};
    double start = clock_seconds(CLOCK_MONOTONIC);
    python_start(opts->pimalloc, opts->policy);
    for (long i = 0; i < CYCLES_WARMUP; i++) {
        run_cycle(opts->leak);
    }

    got.first_kb = resident_kb();
    double first = clock_seconds(CLOCK_MONOTONIC);
    for (long i = CYCLES_WARMUP; i < opts->cycles; i++) {
        run_cycle(opts->leak);
    }
    double last = clock_seconds(CLOCK_MONOTONIC);
    got.last_kb = resident_kb();

    if (Py_FinalizeEx() != 0) {
        fail("Py_FinalizeEx failed");
    }
    double counted = (double)(opts->cycles - CYCLES_WARMUP);
    got.growth_kb = (double)(got.last_kb - got.first_kb) / counted;
    got.cycle_seconds = (last - first) / counted;
    got.total_seconds = clock_seconds(CLOCK_MONOTONIC) - start;
    got.cpu_seconds = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    return got;
}

// --- the report --------------------------------------------------------------

// Prints for example 3.14.10, and whether it is a debug build.
static void
print_python(const char *debug_mark)
{
    const char *version = Py_GetVersion();
    printf("%.*s", (int)strcspn(version, " "), version);
#ifdef Py_DEBUG
    printf("%s", debug_mark);
#else
    (void)debug_mark;
#endif
}

static void
print_json(const options *opts, const figures *got)
{
    printf("{\"python\": \"");
    print_python("d");
    printf("\", \"allocator\": \"%s\", \"policy\": \"%s\", \"leak\": \"%s\", "
           "\"cycles\": %ld, "
           "\"warmup_cycles\": %d, \"first_kb\": %ld, \"last_kb\": %ld, "
           "\"growth_kb_per_cycle\": %.3f, \"seconds_per_cycle\": %.6f, "
           "\"seconds_total\": %.6f, \"cpu_seconds\": %.6f}\n",
           opts->pimalloc ? "pimalloc" : "python", policy_names[opts->policy],
           leak_names[opts->leak], opts->cycles, CYCLES_WARMUP, got->first_kb,
           got->last_kb, got->growth_kb, got->cycle_seconds, got->total_seconds,
           got->cpu_seconds);
}

static void
print_text(const options *opts, const figures *got)
{
    printf("CPython ");
    print_python(" (debug build)");
    printf(" on %s, %ld own-GIL interpreters in a row, leaked by each: %s\n",
           opts->pimalloc ? "pimalloc" : "its own allocator", opts->cycles,
           leak_names[opts->leak]);
    printf("  growth  %10.1f kB per cycle  (resident %ld kB after %d cycles, "
           "%ld kB after %ld)\n",
           got->growth_kb, got->first_kb, CYCLES_WARMUP, got->last_kb,
           opts->cycles);
    printf("  time    %10.3f ms per cycle  (%.3f s in all, %.3f s of processor "
           "time)\n",
           got->cycle_seconds * 1e3, got->total_seconds, got->cpu_seconds);
}

// --- options -----------------------------------------------------------------

static void
print_usage(FILE *out)
{
    fprintf(out,
            "usage: cycles [options]\n"
            "Creates, uses and ends own-GIL interpreters in a row and prints\n"
            "how resident memory grew and how long a cycle took.\n\n"
            "  --cycles N          interpreters in all, more than %d "
            "(default %d)\n"
            "  --leak              each leaks one object()\n"
            "  --leak-bytes        each leaks one bytes of 1 MiB\n"
            "  --allocator NAME    pimalloc (default) or python\n"
            "  --policy NAME       keep, poison or release what is left; exit "
            "status 3\n"
            "                      if this Python does not allow it\n"
            "  --max-growth KB     exit status 1 if growth per cycle is more\n"
            "  --json              one line of JSON instead of text\n"
            "  --help              this text\n",
            CYCLES_WARMUP, CYCLES_DEFAULT);
}

static _Noreturn void
bad_usage(const char *what, const char *value)
{
    fprintf(stderr, "cycles: %s '%s' (see --help)\n", what, value);
    exit(2);
}

static long
parse_cycles(const char *text)
{
    char *end;
    errno = 0;
    long cycles = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || cycles <= CYCLES_WARMUP ||
        cycles > CYCLES_MAX) {
        bad_usage("bad number of cycles", text);
    }
    return cycles;
}

static double
parse_growth(const char *text)
{
    char *end;
    double growth = strtod(text, &end);
    if (end == text || *end != '\0' || !(growth >= 0)) {
        bad_usage("bad growth", text);
    }
    return growth;
}

static bool
parse_allocator(const char *text)
{
    if (strcmp(text, "pimalloc") != 0 && strcmp(text, "python") != 0) {
        bad_usage("unknown allocator", text);
    }
    return strcmp(text, "pimalloc") == 0;
}

static int
parse_policy(const char *text)
{
    for (int policy = PIMALLOC_KEEP; policy <= PIMALLOC_RELEASE; policy++) {
        if (strcmp(text, policy_names[policy]) == 0) {
            return policy;
        }
    }
    bad_usage("unknown policy", text);
}

static options
parse_options(int argc, char **argv)
{
    enum {
        CYCLES = 1,
        LEAK,
        LEAKBYTES,
        ALLOCATOR,
        POLICY,
        MAXGROWTH,
        JSON,
        HELP
    };
    static const struct option known[] = {
        {"cycles", required_argument, NULL, CYCLES},
        {"leak", no_argument, NULL, LEAK},
        {"leak-bytes", no_argument, NULL, LEAKBYTES},
        {"allocator", required_argument, NULL, ALLOCATOR},
        {"policy", required_argument, NULL, POLICY},
        {"max-growth", required_argument, NULL, MAXGROWTH},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    options opts = {0};
    opts.cycles = CYCLES_DEFAULT;
    opts.pimalloc = true;
    opts.max_growth_kb = -1;
    int choice;
    while ((choice = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (choice) {
        case CYCLES:
            opts.cycles = parse_cycles(optarg);
            break;
        case LEAK:
            opts.leak = LEAK_OBJECT;
            break;
        case LEAKBYTES:
            opts.leak = LEAK_BYTES;
            break;
        case ALLOCATOR:
            opts.pimalloc = parse_allocator(optarg);
            break;
        case POLICY:
            opts.policy = parse_policy(optarg);
            break;
        case MAXGROWTH:
            opts.max_growth_kb = parse_growth(optarg);
            break;
        case JSON:
            opts.json = true;
            break;
        case HELP:
            print_usage(stdout);
            exit(0);
        default:
            exit(2); // getopt_long has said why
        }
    }
    if (optind < argc) {
        bad_usage("unexpected argument", argv[optind]);
    }
    return opts;
}

int
main(int argc, char **argv)
{
    options opts = parse_options(argc, argv);
    figures got = measure(&opts);
    if (opts.json) {
        print_json(&opts, &got);
    } else {
        print_text(&opts, &got);
    }
    if (fflush(stdout) != 0) {
        fail("the result could not be written");
    }
    if (opts.max_growth_kb >= 0 && got.growth_kb > opts.max_growth_kb) {
        fprintf(stderr, "cycles: grew by %.1f kB per cycle, allowed are %.1f\n",
                got.growth_kb, opts.max_growth_kb);
        return 1;
    }
    return 0;
}
