// host.c -- the macro benchmark inside an embedding program.
//
// One run: Python is started on one allocator, N interpreters with their own
// GIL are made, each on a thread of its own, and all run the same program from
// bench/macro/programs, starting together.  One JSON object goes to stdout, the
// same that worker.py prints for a stock python3.
//
//   host.c          this: one run from start to end, and its output
//   options.c       the command line
//   allocator.c     Python, on the allocator that was asked for
//   interpreters.c  the threads, the clocks, and the memory figures

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        if ((unsigned char)*text < 0x20) {
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

static void
print_head(const options *opts)
{
    printf("{\"program\": ");
    print_string(opts->program);
    printf(", \"interpreters\": %d, \"python\": \"%.*s\", \"allocator\": ",
           opts->interpreters, (int)strcspn(Py_GetVersion(), " "),
           Py_GetVersion());
    print_string(opts->label);
}

static void
print_result(const struct run *run)
{
    const options *opts = run->opts;
    const struct worker *first = &run->workers[0];
    double began = first->began;
    double ended = first->ended;
    print_head(opts);
    printf(", \"digest\": ");
    print_string(first->digest);
    printf(", \"loops\": %ld, \"real_s\": [", first->loops);
    for (int i = 0; i < opts->interpreters; i++) {
        const struct worker *worker = &run->workers[i];
        printf("%s%.6f", i > 0 ? ", " : "", worker->ended - worker->began);
        began = worker->began < began ? worker->began : began;
        ended = worker->ended > ended ? worker->ended : ended;
    }
    printf("], \"cpu_s\": [");
    for (int i = 0; i < opts->interpreters; i++) {
        printf("%s%.6f", i > 0 ? ", " : "", run->workers[i].cpu_seconds);
    }
    printf("], \"wall_s\": %.6f, \"start_kb\": %ld, \"peak_kb\": %ld, "
           "\"after_kb\": %ld",
           ended - began, run->start_kb, run->peak_kb, run->after_kb);
    if (first->laps != NULL) {
        printf(", \"laps\": %s", first->laps);
    }
    printf("}\n");
}

// Prints what came out and returns the exit status.
static int
report(const struct run *run)
{
    const struct worker *first = &run->workers[0];
    for (int i = 0; i < run->opts->interpreters; i++) {
        const struct worker *worker = &run->workers[i];
        if (worker->failed) {
            return 1;
        }
        if (worker->skipped[0] != '\0') {
            print_head(run->opts);
            printf(", \"skipped\": ");
            print_string(worker->skipped);
            printf("}\n");
            return 0;
        }
        if (strcmp(worker->digest, first->digest) != 0) {
            fprintf(stderr,
                    PIM_BENCH_NAME ": two interpreters gave different digests: "
                                   "'%s' and '%s'\n",
                    first->digest, worker->digest);
            return 1;
        }
    }
    print_result(run);
    return 0;
}

int
main(int argc, char **argv)
{
    options opts = host_parse_options(argc, argv);
    host_start_python(opts.allocator);
    host_check_label(&opts);

    // Workers never end, and may still be leaving the last barrier in it when
    // the process exits.
    static struct run run;
    run.opts = &opts;
    host_run(&run);
    int status = report(&run);
    if (fflush(stdout) != 0) {
        perror(PIM_BENCH_NAME ": the result could not be written");
        return 1;
    }
    return status;
}
