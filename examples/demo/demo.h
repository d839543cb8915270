// demo.h -- what the files of the demo share.
//
//   demo.c          options, starting Python on pimalloc, main()
//   interpreters.c  interpreters with their own GIL, each in its own thread
//   input.c         the list of files, memory and clocks
//   child.c         the same once more on CPython's own allocator
//   report.c        tables and JSON
//   work.h          the work itself, in Python
//
// Python.h comes first everywhere: it sets the feature macros of libc.

#ifndef DEMO_H
#define DEMO_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pimalloc/pimalloc.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct files {
    char **paths;
    size_t count;
    size_t capacity;
    size_t bytes; // of the files that could be read
};

enum outcome { STUDIED, REFUSED, UNREADABLE, OUTCOMES }; // as in work.h

// One interpreter and the thread that runs it.
struct worker {
    struct run *run;
    pthread_t thread;
    int64_t id; // CPython's name for the interpreter
    bool failed;
    long files;
    long lines;
    long outcomes[OUTCOMES];
    uint64_t digest; // sum of the digests of its files
    double began;    // clock, in seconds
    double ended;
    pimalloc_snapshot working; // when its work was done
    pimalloc_snapshot left;    // after its end
};

// Everything measured in one process, on one allocator.
struct run {
    bool on_pimalloc;
    const char *directory;
    struct files files;
    int interpreters;
    struct worker *workers;

    uint64_t digest;
    double wall_seconds;
    double cpu_seconds;  // of all threads
    size_t before_bytes; // resident: Python is up, no interpreter begun
    size_t peak_bytes;
    size_t after_bytes; // resident: all interpreters have ended
    pimalloc_snapshot process;

    char version[32];
    char build[64];
    char executable[1024];
};

// The figures of a run that happened in another process.
struct other_run {
    double wall_seconds;
    double cpu_seconds;
    double peak_bytes;
    double after_bytes;
    uint64_t digest;
    const char *json; // all of it
};

// input.c
int files_find(struct files *files, const char *directory, bool is_stdlib);
void files_warm(struct files *files);
void files_free(struct files *files);
size_t resident_bytes(void);
size_t resident_roughly_bytes(void);
size_t resident_peak_bytes(void);
double wall_clock(void);
double cpu_clock(void);

// interpreters.c
int run_interpreters(struct run *run);

// child.c
int compare_with_child(const struct run *run, char *directory, bool json);

// report.c
void report_text(const struct run *run);
void report_json(const struct run *run);
void report_both_text(const struct run *run, const struct other_run *other);
void report_both_json(const struct run *run, const struct other_run *other);

#endif // DEMO_H
