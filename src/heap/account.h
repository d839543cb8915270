// account.h -- what one heap serves in one domain, exact at every moment.
//
// The owner counts with plain loads and stores.  Others may not, so what they
// free is counted apart, in `pending`, until the owner takes it over:
//
//   live now == live - pending
//
// A block freed by a non-owner is thus gone from the live figures at once; the
// peaks are computed from `live`, before the owner took it over.

#ifndef PIM_HEAP_ACCOUNT_H
#define PIM_HEAP_ACCOUNT_H

#include "base/atomic.h"

typedef struct pim_account {
    _Atomic uint64_t live_bytes; // owner writes, any thread reads
    _Atomic uint64_t live_blocks;
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t peak_blocks;
} pim_account;

typedef struct pim_pending {
    _Atomic uint64_t bytes; // any thread adds, the owner takes over
    _Atomic uint64_t blocks;
} pim_pending;

PIM_INLINE void
pim_account_grow(pim_account *account, uint64_t bytes, uint64_t blocks)
{
    uint64_t live = pim_load_relaxed(&account->live_bytes) + bytes;
    pim_store_relaxed(&account->live_bytes, live);
    if (live > pim_load_relaxed(&account->peak_bytes)) {
        pim_store_relaxed(&account->peak_bytes, live);
    }
    live = pim_load_relaxed(&account->live_blocks) + blocks;
    pim_store_relaxed(&account->live_blocks, live);
    if (live > pim_load_relaxed(&account->peak_blocks)) {
        pim_store_relaxed(&account->peak_blocks, live);
    }
}

PIM_INLINE void
pim_account_shrink(pim_account *account, uint64_t bytes, uint64_t blocks)
{
    pim_own_sub(&account->live_bytes, bytes);
    pim_own_sub(&account->live_blocks, blocks);
}

// Counts a block that a non-owner frees.
PIM_INLINE void
pim_pending_add(pim_pending *pending, uint64_t bytes)
{
    pim_add_relaxed(&pending->bytes, bytes);
    pim_add_relaxed(&pending->blocks, 1);
}

#endif // PIM_HEAP_ACCOUNT_H
