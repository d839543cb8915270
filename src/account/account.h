// account.h -- what one heap serves in one domain, exact at every moment.
//
// The owner counts with plain loads and stores.  What the fast paths change is
// not how much is live but how far that is below the peak, because one
// subtraction then both counts a block and tells whether it makes a new peak:
//
//   live == peak - headroom
//
// Others may not write here, so what they free is counted apart, in `pending`,
// until the owner takes it over:
//
//   live now == live - pending
//
// The same for each size class, in blocks; a class's bytes follow from its
// blocks.  Spans and large blocks are two more classes.  Their blocks are of
// many sizes, so their bytes are counted, too: `varied`.  What was ever
// allocated is counted by class only; a domain's figure is the sum.
//
// Invariants:
//   GAUGE-1    what others read was live at some moment of the read.
//   ACCOUNT-1  a domain's live bytes and blocks are the sums over its classes
//              whenever nobody is at work.
//
// A block freed by a non-owner is thus gone from the live figures at once; the
// peaks are those of `live`, before the owner took it over.

#ifndef PIM_ACCOUNT_ACCOUNT_H
#define PIM_ACCOUNT_ACCOUNT_H

#include "base/atomic.h"
#include "page/size_class.h"

// What a heap keeps for each domain: mem and obj, which most requests are for,
// come first.
#define PIM_DOMAINS 3
#define PIM_DOMAIN_INDEX(domain)                                               \
    ((domain) == PIM_RAW ? 2u : (unsigned)(domain) - (unsigned)PIM_MEM)
#define PIM_INDEX_DOMAIN(domain_index)                                         \
    ((domain_index) == 2 ? PIM_RAW : (domain_index) + PIM_MEM)

// The id of the process heap, as pimalloc_snapshot.interp; and of the raw heap
// (domain/raw_small.h), another one that belongs to no interpreter.
#define PIM_PROCESS_ID ((int64_t)-1)

// Owner writes, any thread reads.
typedef struct pim_gauge {
    _Atomic int64_t headroom; // negative only inside pim_gauge_grow()
    _Atomic uint64_t peak;
} pim_gauge;

// The classes whose blocks are of many sizes.
#define PIM_VARIED (PIM_ACCOUNT_CLASSES - PIM_CLASSES)

typedef struct pim_varied {
    pim_gauge bytes;
    _Atomic int64_t total_bytes; // allocated, ever, and grown in place
} pim_varied;

// Blocks by class: a gauge each, taken apart, so that the fast paths index them
// as they index the heap's pages, and the hot words lie close together.
typedef struct pim_by_class {
    _Atomic int64_t headroom[PIM_ACCOUNT_CLASSES];
    _Atomic int64_t total[PIM_ACCOUNT_CLASSES]; // allocated, ever
    _Atomic uint64_t peak[PIM_ACCOUNT_CLASSES];
    pim_varied varied[PIM_VARIED]; // spans, large blocks
} pim_by_class;

typedef struct pim_account {
    pim_gauge bytes;
    pim_gauge blocks;
    pim_by_class by_class;
} pim_account;

// What non-owners freed: any thread adds, the owner takes over.
typedef struct pim_pending {
    _Atomic uint64_t bytes; // added last, so it tells whether there is anything
    _Atomic uint64_t blocks[PIM_ACCOUNT_CLASSES];
    _Atomic uint64_t varied_bytes[PIM_VARIED];
} pim_pending;

// Where the accounts of a heap are, for who reads them: PIM_DOMAINS of each.
typedef struct pim_ledger {
    const pim_account *account;
    const pim_pending *pending;
    const _Atomic uint32_t *folding; // odd while pending is taken over
} pim_ledger;

// --- gauges ----------------------------------------------------------------

// In this order a reader in between sees what was live before.
PIM_INLINE void
pim_peak_raise(_Atomic int64_t *headroom, _Atomic uint64_t *peak)
{
    int64_t left = pim_load_relaxed(headroom);
    pim_store_relaxed(headroom, 0);
    pim_store_release(peak, pim_load_relaxed(peak) - (uint64_t)left);
}

// The same where one was counted, so `headroom` was 0.  A reader that sees the
// stores in the other order sees it below zero, and looks again.
PIM_INLINE void
pim_peak_step(_Atomic int64_t *headroom, _Atomic uint64_t *peak)
{
    pim_store_relaxed(headroom, 0);
    pim_own_inc_fast(peak);
}

PIM_INLINE void
pim_gauge_grow(pim_gauge *gauge, uint64_t n)
{
    if (PIM_UNLIKELY(pim_own_sub_below_zero(&gauge->headroom, (int64_t)n))) {
        pim_peak_raise(&gauge->headroom, &gauge->peak);
    }
}

PIM_INLINE void
pim_gauge_shrink(pim_gauge *gauge, uint64_t n)
{
    pim_own_add_fast(&gauge->headroom, (int64_t)n);
}

// What is live: true if *out was live at some moment of the call, else it is
// nearly so.
PIM_INLINE bool
pim_read_live(const _Atomic int64_t *headroom_at,
              const _Atomic uint64_t *peak_at, uint64_t *out)
{
    uint64_t peak = pim_load_acquire(peak_at);
    int64_t headroom = 0;
    bool is_exact = false;
    for (unsigned tries = 0; tries < 1000 && !is_exact; tries++) {
        uint64_t before = peak;
        headroom = pim_load_acquire(headroom_at);
        peak = pim_load_acquire(peak_at);
        is_exact = before == peak && headroom >= 0;
    }
    *out = headroom < 0 || (uint64_t)headroom < peak ? peak - (uint64_t)headroom
                                                     : 0;
    return is_exact;
}

// The same.  Exact for the owner and, while the owner is not at work, for all.
PIM_INLINE uint64_t
pim_live(const _Atomic int64_t *headroom_at, const _Atomic uint64_t *peak_at)
{
    uint64_t live;
    pim_read_live(headroom_at, peak_at, &live);
    return live;
}

PIM_INLINE uint64_t
pim_gauge_live(const pim_gauge *gauge)
{
    return pim_live(&gauge->headroom, &gauge->peak);
}

// --- the fast paths --------------------------------------------------------

// Counts a block of a class, but not its bytes if the class is a varied one.
PIM_INLINE void
pim_account_grow(pim_account *account, size_t size_class, uint64_t bytes)
{
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_by_class *by_class = &account->by_class;
    pim_gauge *blocks = &account->blocks;
    pim_gauge_grow(&account->bytes, bytes);
    if (PIM_UNLIKELY(pim_own_sub_below_zero(&blocks->headroom, 1))) {
        pim_peak_step(&blocks->headroom, &blocks->peak);
    }
    pim_own_add_fast(&by_class->total[size_class], 1);
    if (PIM_UNLIKELY(
            pim_own_sub_below_zero(&by_class->headroom[size_class], 1))) {
        PIM_FORGET(by_class);
        PIM_FORGET(size_class);
        pim_peak_step(&by_class->headroom[size_class],
                      &by_class->peak[size_class]);
    }
}

PIM_INLINE void
pim_account_shrink(pim_account *account, size_t size_class, uint64_t bytes)
{
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_gauge_shrink(&account->bytes, bytes);
    pim_gauge_shrink(&account->blocks, 1);
    pim_own_add_fast(&account->by_class.headroom[size_class], 1);
}

// --- any class -------------------------------------------------------------
//
// Of the account's owner, but for pim_pending_add().

void pim_account_add(pim_account *account, size_t size_class, uint64_t bytes);
void pim_account_remove(pim_account *account, size_t size_class,
                        uint64_t bytes);

// What pim_account_shrink() left out: the bytes of a varied class.
void pim_account_shrink_varied(pim_account *account, size_t size_class,
                               uint64_t bytes);

// A block of a varied class became shorter or longer where it is.
void pim_account_resize(pim_account *account, size_t size_class,
                        uint64_t before, uint64_t after);

// Counts a block that a non-owner frees.  Any thread.
void pim_pending_add(pim_pending *pending, size_t size_class, uint64_t bytes);

// The same of so many blocks of one size, which may be negative: taken back.
void pim_pending_add_blocks(pim_pending *pending, size_t size_class,
                            uint64_t block_bytes, int64_t blocks);

// Takes over what is pending.
void pim_account_fold(pim_account *account, pim_pending *pending);

// Takes off the account what is pending, which stays so.
void pim_account_subtract(pim_account *account, const pim_pending *pending);

// Adds what is live in one account to another, where it was not allocated.  The
// first stays as it is.
void pim_account_add_live(pim_account *to, const pim_account *from);

#endif // PIM_ACCOUNT_ACCOUNT_H
