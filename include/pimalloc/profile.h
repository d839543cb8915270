// profile.h -- where memory comes from, cheap enough to leave on.
//
// Of all bytes that interpreters ask for, one in so many is a sample, at random:
// the block in which it lies is noted with its Python stack until it is freed,
// and stands for all the blocks like it.  So the figures of a profile are
// estimates, the better the more samples are behind them.
//
// Sampled are the mem and obj domains of every interpreter, and raw from CPython
// 3.14 on, where a thread state is current.  What a block grows by in place is
// not, nor are the first 64 KiB of each domain and interpreter that was there
// before the profile.
//
// Any thread, with a GIL or without, not in a signal handler.  From Python:
// pimalloc.profile_start(); for a program as it is: pimalloc-run --profile.
//
// Compiles as C11 and as C++17 and does not need Python.h.

#ifndef PIMALLOC_PROFILE_H
#define PIMALLOC_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "pimalloc/pimalloc.h"
#include "pimalloc/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

// What 0 stands for, below.
#define PIMALLOC_PROFILE_PERIOD (512 * 1024)
#define PIMALLOC_PROFILE_FRAMES 64

// Begins a profile, empty.  period: mean bytes between two samples, 1 KiB to
// 1 TiB; frames: so many of a stack, the newest, 1 to 256; 0: the above.
//
// 0; -EINVAL; -EALREADY (one runs; stacks are looked for again); -ENOENT (pimalloc is not installed);
// -ENOTSUP (this build counts nothing).  Where stacks cannot be read, or could
// not yet, samples have none: pimalloc_profile_why() says why.
PIMALLOC_EXPORT int pimalloc_profile_start(uint64_t period, unsigned frames);

// Ends it.  What it said then can still be saved: later frees change nothing.  0; -ESRCH: none runs.
PIMALLOC_EXPORT int pimalloc_profile_stop(void);

// Why stacks cannot be read, in one line; NULL: they can, or nobody asked.
PIMALLOC_EXPORT const char *pimalloc_profile_why(void);

typedef struct pimalloc_profile_figures {
    size_t size;          // sizeof(pimalloc_profile_figures), set by the caller
    uint64_t period;      // bytes; 0: none runs
    uint64_t samples;     // taken since the start
    uint64_t dropped;     // of these, there was no room for
    uint64_t live_bytes;  // estimated, of blocks asked for since the start
    uint64_t total_bytes; // estimated, asked for since the start
} pimalloc_profile_figures;

// 0; -EINVAL: the size.
PIMALLOC_EXPORT int pimalloc_profile_get(pimalloc_profile_figures *out);

enum pimalloc_profile_format {
    PIMALLOC_HTML,       // a page for people; works without a network
    PIMALLOC_PPROF,      // for `go tool pprof` and what reads its files
    PIMALLOC_FOLDED,     // a line for each stack
    PIMALLOC_SPEEDSCOPE, // for speedscope
};

// Writes what is noted now to a file, whole or not at all; path as in
// pimalloc_stats_save().  docs/profiles.md has the formats.  0; -EINVAL: the
// format; -ESRCH: there was no profile; -ENOMEM; or why the file cannot be
// written.
PIMALLOC_EXPORT int pimalloc_profile_save(const char *path, int format);

// Remembers what is noted now.  PIMALLOC_HTML compares with it from then on, until
// another profile begins.  0; -ESRCH: there was none; -ENOMEM.
PIMALLOC_EXPORT int pimalloc_profile_mark(void);

// Calls visit() with what the samples of each stack, interpreter, domain and thread
// say is live, as of one block: `bytes` is the estimate, and `address` is NULL.
// pimalloc_trace_stack() has the frames.  Returns 0, or what visit() did; -ESRCH:
// there was no profile.  Under a lock, as in pimalloc_trace_walk().
PIMALLOC_EXPORT int pimalloc_profile_walk(pimalloc_trace_visitor visit,
                                          void *arg);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_PROFILE_H
