// limit.h -- how much one heap may serve.
//
//   live bytes   0 ............ soft ............ top
//     closed       all served    | nothing
//     open         all served    | small ones      | nothing
//
// `top` is the hard limit, or without one the end of a reserve.  The reserve is
// opened by a refusal, so that the error can be handled, and closes when enough
// was freed; so each time that a script crosses the soft limit it is told once.
//
// Fast paths do not look.  What they can serve without asking, from the current
// pages of the heap, is counted as if it were live when another page is about to
// become current; near a limit there are none, and blocks are served one by one:
//
//   LIMIT-1  live bytes + free bytes of current pages are not above the limit,
//            as long as it is not lowered; then, once a request was refused.
//
// Owner, as in heap.h, unless a function says otherwise.

#ifndef PIM_HEAP_LIMIT_H
#define PIM_HEAP_LIMIT_H

#include "base/atomic.h"
#include "base/config.h"
#include "pimalloc/tenants.h"

struct pim_heap;

// What pimalloc_limit_set() was told.  Under a lock (limit.c).
typedef struct pim_limit_terms {
    uint64_t soft_bytes; // 0: none, as below
    uint64_t hard_bytes;
    pimalloc_limit_callback callback;
    void *arg;
} pim_limit_terms;

typedef struct pim_limit {
    // Any thread writes, the owner reads.  All 0: no limit.
    _Atomic uint64_t soft;
    _Atomic uint64_t top;
    _Atomic uint64_t closes; // live bytes at which the reserve closes
    pim_limit_terms terms;

    // Owner.
    _Atomic uint64_t refusals; // any thread reads
    bool reserve_open;
    bool exempt; // a block is being moved to shrink
} pim_limit;

PIM_INLINE bool
pim_limit_is_set(const pim_limit *limit)
{
    return PIM_UNLIKELY(pim_load_relaxed(&limit->soft) != 0);
}

// Whether so many more bytes, for a request of `size`, are within the limit.  Says
// nothing to anybody.
bool pim_limit_admits(struct pim_heap *heap, size_t size, uint64_t bytes);

// The same, and if they are not, counts and reports the refusal.  Outside the gate.
bool pim_limit_admits_or_reports(struct pim_heap *heap, unsigned domain,
                                 size_t size, uint64_t bytes);

// Whether a page of a small class may become current: so many bytes more can be
// served then without asking.
bool pim_limit_admits_page(const struct pim_heap *heap, uint64_t bytes);

// Whether the terms make sense.
bool pim_limit_terms_are_valid(const pim_limit_terms *terms);

// Changes the terms of a heap that stays for as long as this takes.  Any thread,
// inside the gate.
void pim_limit_set(struct pim_heap *heap, const pim_limit_terms *terms);
void pim_limit_get(const struct pim_heap *heap, pim_limit_terms *out);

// The terms of heaps to come.  With `by_environment` nothing changes what a
// program has set.  Any thread.
void pim_limit_set_default(const pim_limit_terms *terms, bool by_environment);
void pim_limit_get_default(pim_limit_terms *out);

// Gives a heap that was just opened the terms of those to come.  Inside the gate.
void pim_limit_begin(struct pim_heap *heap);

#endif // PIM_HEAP_LIMIT_H
