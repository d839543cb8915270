// tenants.h -- interpreters as tenants of one process: what each of them uses, in
// detail.  docs/tenants.md tells how a host puts it to work.
//
// Compiles as C11 and as C++17; needs no Python.h.  No function here may be called
// from a signal handler.  The conventions are those of pimalloc.h.

#ifndef PIMALLOC_TENANTS_H
#define PIMALLOC_TENANTS_H

#include "pimalloc/pimalloc.h"

#ifdef __cplusplus
extern "C" {
#endif

// --- accounts ----------------------------------------------------------------

// Figures of one size class of one domain.
typedef struct pimalloc_class {
    size_t size;          // sizeof(pimalloc_class)
    uint64_t block_bytes; // of each block; 0 for the last two classes, below
    pimalloc_usage usage;
} pimalloc_class;

// Fills out[0..capacity) with the size classes of one domain (enum
// pimalloc_domain) of one interpreter, or of PIMALLOC_PROCESS, the smallest first,
// and returns how many there are.  The caller sets out[0].size; `out` may be NULL
// if capacity is 0.
//
// All classes are there, also those without a block.  The last two have blocks of
// many sizes: runs of arena space (above 32,800 bytes and up to 1 MiB), and large
// blocks outside the arenas.  A block is in one class, so that live and total
// figures of the classes add up to those of the domain (pimalloc_stats()) whenever
// nobody allocates; peaks of classes come at different moments.
//
// What is read is as pimalloc_stats() reads it: in constant time, while the
// interpreter runs, each figure exact at some moment of the call; of an ended
// interpreter what it left, its peaks and totals, until 64 others have ended.  What
// an ended interpreter left is live in the process's figures from then on, and was
// allocated in its own.  The raw domain has no classes: 0 is returned.
//
// Any thread, no GIL.  Errors: -ENOENT (no such interpreter, or never installed),
// -EINVAL (no such domain, or a size that this version does not know).
PIMALLOC_EXPORT int pimalloc_classes(int64_t interp, int domain,
                                     pimalloc_class *out, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_TENANTS_H
