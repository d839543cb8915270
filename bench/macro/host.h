// host.h -- what the files of the macro benchmark's host share.

#ifndef PIM_BENCH_HOST_H
#define PIM_BENCH_HOST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdbool.h>

#define HOST_INTERPRETERS_MAX 64
#define HOST_TEXT_BYTES 256 // of a digest, and of a reason to skip

typedef struct options {
    const char *program;
    const char *allocator; // as the option says
    const char *label;     // how the output calls it
    const char *programs;  // absolute path of the folder
    int interpreters;
    bool aged;   // ordinary imports first, and the time of each loop
    double rest; // seconds from the work to the last look at memory
    long loops;  // 0: the program's own number
} options;

// One interpreter and its thread, which writes it; the main thread reads it
// after the last barrier.
struct worker {
    struct run *run;
    bool failed; // it has said why on stderr
    char skipped[HOST_TEXT_BYTES];
    char digest[HOST_TEXT_BYTES];
    long loops;
    double began; // of the loops, on the monotonic clock
    double ended;
    double cpu_seconds; // of this thread, for the loops
    char *laps;         // JSON; NULL unless the process is aged
};

// One measurement.
struct run {
    const options *opts;
    struct worker workers[HOST_INTERPRETERS_MAX];
    pthread_mutex_t turn;      // one interpreter is made at a time
    pthread_barrier_t ready;   // all workers and the main thread
    pthread_barrier_t started; // the same, once the main thread has looked
    pthread_barrier_t done;
    pthread_barrier_t rested;
    long start_kb;
    long peak_kb;
    long after_kb; // after the rest
};

// options.c
options host_parse_options(int argc, char **argv);

// allocator.c: starts Python on an allocator and makes sure that it is in use.
// Both end the process if that fails.
void host_start_python(const char *allocator);
int host_install_floor(void);   // floor.c; between preinit and init; 0 or -1
int host_install_ordered(void); // the same, with the floor that keeps order
void host_check_label(const options *opts);

// interpreters.c: fills in the figures.  The caller holds main's GIL, and gives
// it up for good.
void host_run(struct run *run);

#endif // PIM_BENCH_HOST_H
