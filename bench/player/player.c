// player.c -- plays a recording on one allocator, inside CPython.
//
// One process, one allocator; bench/replay starts one after the other and
// compares.  The requests go through the tables of Python's three domains, by one
// thread under the GIL of the main interpreter, in the order of the recording: so
// it is the same work each time and on each allocator.  Only blocks are played;
// threads and interpreters are not.
//
//   log.c    the file, and the order of its events
//   lives.c  which block is meant
//   work.c   the requests, and the looks at time and memory

#include "host.h" // of bench/macro, with what starts Python

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

#define SAMPLES 500

typedef struct choice {
    options host;
    const char *file;
    size_t samples;
} choice;

static void
print_usage(FILE *out)
{
    fputs(
        "usage: " PIM_BENCH_NAME " [options] FILE\n"
        "Plays a recording of pimalloc (PIMALLOC_RECORD) on an allocator and\n"
        "prints its figures as JSON.\n\n"
        "  --allocator NAME  pimalloc (default), pymalloc, mimalloc (3.13 "
        "and newer);\n"
        "                    malloc, which is libc's or what LD_PRELOAD puts "
        "in its\n"
        "                    place; or floor and ordered\n"
        "  --label NAME      the allocator's name in the output (default: "
        "the same)\n"
        "  --samples N       looks at memory (default 500)\n"
        "  --help            this text\n",
        out);
}

static _Noreturn void
fail(const char *file, const char *why)
{
    fprintf(stderr, PIM_BENCH_NAME ": %s: %s\n", file, why);
    exit(1);
}

static _Noreturn void
bad_usage(const char *what)
{
    fprintf(stderr, PIM_BENCH_NAME ": %s (see --help)\n", what);
    exit(2);
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
    bad_usage("there is no such allocator");
}

static choice
parse(int argc, char **argv)
{
    enum { ALLOCATOR = 1, LABEL, SAMPLES_OPTION, HELP };
    static const struct option known[] = {
        {"allocator", required_argument, NULL, ALLOCATOR},
        {"label", required_argument, NULL, LABEL},
        {"samples", required_argument, NULL, SAMPLES_OPTION},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    choice c = {.host = {.allocator = "pimalloc"}, .samples = SAMPLES};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == ALLOCATOR) {
            c.host.allocator = parse_allocator(optarg);
        } else if (option == LABEL) {
            c.host.label = optarg;
        } else if (option == SAMPLES_OPTION) {
            long samples = strtol(optarg, NULL, 10);
            if (samples < 1 || samples > 100000) {
                bad_usage("bad number of samples");
            }
            c.samples = (size_t)samples;
        } else if (option == HELP) {
            print_usage(stdout);
            exit(0);
        } else {
            exit(2); // getopt_long has said why
        }
    }
    if (optind + 1 != argc) {
        bad_usage("name one recording");
    }
    c.file = argv[optind];
    c.host.label = c.host.label != NULL ? c.host.label : c.host.allocator;
    return c;
}

static work_domain
domain_of(PyMemAllocatorDomain domain)
{
    PyMemAllocatorEx got;
    PyMem_GetAllocator(domain, &got);
    return (work_domain){got.ctx, got.malloc, got.calloc, got.realloc,
                         got.free};
}

// What is not as it should be, in words; bench/replay shows them.
static void
print_notes(const log_file *log, const lives_count *n)
{
    const char *comma = "";
    printf(", \"notes\": [");
    if (!log_is_ended(log)) {
        printf("\"it was cut off: what its threads collected last is not in "
               "it\"");
        comma = ", ";
    }
    if (log_lost_bytes(log) != 0) {
        printf("%s\"%llu bytes of it are no whole blocks\"", comma,
               (unsigned long long)log_lost_bytes(log));
        comma = ", ";
    }
    if (log_missing_blocks(log) != 0) {
        printf("%s\"%llu blocks of it are missing\"", comma,
               (unsigned long long)log_missing_blocks(log));
        comma = ", ";
    }
    if (n->reused != 0) {
        printf("%s\"%llu frees were not seen\"", comma,
               (unsigned long long)n->reused);
    }
    printf("]");
}

static void
print_lives(const work *w)
{
    const lives_count *n = &w->lives;
    printf(", \"allocs\": %llu, \"resizes\": %llu, \"frees\": %llu, "
           "\"strangers\": %llu, \"interpreters\": %llu, \"total_bytes\": "
           "%llu, \"peak_live_bytes\": %llu, \"end_live_bytes\": %llu",
           (unsigned long long)n->allocs, (unsigned long long)n->resizes,
           (unsigned long long)n->frees, (unsigned long long)n->strangers,
           (unsigned long long)n->born, (unsigned long long)w->total_bytes,
           (unsigned long long)w->peak_live_bytes,
           (unsigned long long)n->live_bytes);
}

static void
print_figures(const work_figures *f)
{
    printf(", \"cpu_s\": %.6f, \"peak_kb\": %ld, \"samples\": [",
           f->cpu_seconds, f->peak_kb);
    for (size_t i = 0; i < f->sample_count; i++) {
        const work_sample *s = &f->samples[i];
        printf("%s[%llu, %llu, %ld]", i != 0 ? ", " : "",
               (unsigned long long)s->step, (unsigned long long)s->live_bytes,
               s->resident_kb);
    }
    printf("]}\n");
}

int
main(int argc, char **argv)
{
    choice c = parse(argc, argv);
    const char *why;
    log_file *log = log_open(c.file, &why);
    if (log == NULL) {
        fail(c.file, why);
    }
    work w;
    if (!work_read(log, &w)) {
        fail(c.file, "there is no memory for what it holds");
    }
    if (w.count == 0) {
        fail(c.file, "there is no whole block of events in it");
    }
    host_start_python(c.host.allocator);
    host_check_label(&c.host);
    work_domain domains[3] = {domain_of(PYMEM_DOMAIN_RAW),
                              domain_of(PYMEM_DOMAIN_MEM),
                              domain_of(PYMEM_DOMAIN_OBJ)};
    work_figures figures;
    if (!work_do(&w, domains, c.samples, &figures)) {
        fail(c.file, "there is no memory to play it");
    }
    printf("{\"allocator\": \"%s\", \"python\": \"%.*s\", \"steps\": %zu",
           c.host.label, (int)strcspn(Py_GetVersion(), " "), Py_GetVersion(),
           w.count);
    print_lives(&w);
    print_notes(log, &w.lives);
    print_figures(&figures);
    return fflush(stdout) == 0 ? 0 : 1;
}
