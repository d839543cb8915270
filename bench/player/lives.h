// lives.h -- which block is meant: from addresses to numbers.
//
// The same address is many blocks in the course of a recording.  A number is a
// block's from its allocation to its free, and then another's.

#ifndef PIM_BENCH_LIVES_H
#define PIM_BENCH_LIVES_H

#include "log.h"

enum life_what {
    LIFE_BEGINS,  // block number `block` has `size`
    LIFE_RESIZED, // it has `size` now
    LIFE_ENDS,    // it is free, and had `size`
};

typedef struct life {
    enum life_what what;
    bool zeroed;
    unsigned domain;
    uint32_t block;
    uint64_t size;
    uint64_t before; // of LIFE_RESIZED: the size that it had
    int64_t interp;  // that it was allocated for
    uint64_t clock_ms;
} life;

typedef struct lives lives;

// NULL: no memory.  The log stays the caller's.
lives *lives_open(log_file *log);
void lives_close(lives *l);

// False: there are no more, or no memory; see lives_failed().
bool lives_next(lives *l, life *out);
bool lives_failed(const lives *l);

// Of what was read so far.
typedef struct lives_count {
    uint64_t allocs, resizes, frees;
    uint64_t strangers; // frees and resizes of blocks that came before it began
    uint64_t reused;    // addresses given away again without a free
    uint64_t born, ended; // interpreters
    uint64_t live_blocks, live_bytes;
    uint32_t blocks; // numbers that were in use
} lives_count;

const lives_count *lives_counted(const lives *l);

// Whether a block is live at this address.
bool lives_has(const lives *l, uint64_t address);

#endif // PIM_BENCH_LIVES_H
