// work.h -- a recording as work to be done, and the doing of it.

#ifndef PIM_BENCH_WORK_H
#define PIM_BENCH_WORK_H

#include "lives.h"

// One of 16 bytes; reading them in order costs little beside what they ask for.
typedef struct work_step {
    uint32_t block;
    uint32_t what : 2;   // enum life_what
    uint32_t domain : 2; // enum pimalloc_domain
    uint32_t zeroed : 1;
    uint64_t size;
} work_step;

typedef struct work {
    work_step *steps;
    size_t count, room;
    uint64_t total_bytes;     // of all allocations
    uint64_t peak_live_bytes; // asked for
    lives_count lives;
} work;

// One domain's functions, as in PyMemAllocatorEx.
typedef struct work_domain {
    void *ctx;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} work_domain;

// What was seen after so many steps.
typedef struct work_sample {
    uint64_t step;
    uint64_t live_bytes;
    long resident_kb; // above what it was before the first step
} work_sample;

typedef struct work_figures {
    double cpu_seconds; // of the steps, without the looks at memory
    long peak_kb;       // likewise above; 0: not known
    work_sample *samples;
    size_t sample_count;
    uint64_t refused; // requests that got nothing
} work_figures;

// Reads all of it.  False: no memory.
bool work_read(log_file *log, work *out);

// Does it, and looks at memory about `samples` times.  Each block is written
// once, whole, and once more where it grows.  What is live at the end stays.
// False: no memory.
bool work_do(const work *w, const work_domain domains[3], size_t samples,
             work_figures *out);

#endif // PIM_BENCH_WORK_H
