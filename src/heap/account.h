// account.h -- what one heap serves in one domain, exact at every moment.
//
// The owner counts with plain loads and stores.  What the fast paths change is
// not how much is live but how far that is below the peak, because one
// subtraction then both counts a block and tells whether it makes a new peak:
//
//   live == peak - spare
//
// Others may not write here, so what they free is counted apart, in `pending`,
// until the owner takes it over:
//
//   live now == live - pending
//
// A block freed by a non-owner is thus gone from the live figures at once; the
// peaks are those of `live`, before the owner took it over.

#ifndef PIM_HEAP_ACCOUNT_H
#define PIM_HEAP_ACCOUNT_H

#include "base/atomic.h"

// Owner writes, any thread reads.
typedef struct pim_gauge {
    _Atomic int64_t spare; // negative only inside pim_gauge_grow()
    _Atomic uint64_t peak;
} pim_gauge;

typedef struct pim_account {
    pim_gauge bytes;
    pim_gauge blocks;
} pim_account;

typedef struct pim_pending {
    _Atomic uint64_t bytes; // any thread adds, the owner takes over
    _Atomic uint64_t blocks;
} pim_pending;

PIM_INLINE void
pim_gauge_grow(pim_gauge *gauge, uint64_t n)
{
    if (PIM_UNLIKELY(pim_own_sub_below_zero(&gauge->spare, (int64_t)n))) {
        int64_t spare = pim_load_relaxed(&gauge->spare);
        // In this order a reader in between sees what was live before.
        pim_store_relaxed(&gauge->spare, 0);
        pim_store_release(&gauge->peak,
                          pim_load_relaxed(&gauge->peak) - (uint64_t)spare);
    }
}

PIM_INLINE void
pim_gauge_shrink(pim_gauge *gauge, uint64_t n)
{
    pim_own_add_fast(&gauge->spare, (int64_t)n);
}

// What is live.  Exact for the owner and, while the owner is not at work, for
// all; else what was live at some moment of the call or, if the two did not come
// from one moment, nearly so.
PIM_INLINE uint64_t
pim_gauge_live(const pim_gauge *gauge)
{
    uint64_t peak = pim_load_acquire(&gauge->peak);
    int64_t spare = 0;
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t before = peak;
        spare = pim_load_acquire(&gauge->spare);
        peak = pim_load_acquire(&gauge->peak);
        if (before == peak && spare >= 0) {
            break;
        }
    }
    return spare < 0 || (uint64_t)spare < peak ? peak - (uint64_t)spare : 0;
}

PIM_INLINE void
pim_account_grow(pim_account *account, uint64_t bytes, uint64_t blocks)
{
    pim_gauge_grow(&account->bytes, bytes);
    pim_gauge_grow(&account->blocks, blocks);
}

PIM_INLINE void
pim_account_shrink(pim_account *account, uint64_t bytes, uint64_t blocks)
{
    pim_gauge_shrink(&account->bytes, bytes);
    pim_gauge_shrink(&account->blocks, blocks);
}

// Counts a block that a non-owner frees.
PIM_INLINE void
pim_pending_add(pim_pending *pending, uint64_t bytes)
{
    pim_add_relaxed(&pending->bytes, bytes);
    pim_add_relaxed(&pending->blocks, 1);
}

#endif // PIM_HEAP_ACCOUNT_H
