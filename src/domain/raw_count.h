// raw_count.h -- what the raw domain serves.
//
// Raw has no owner.  Each thread counts in its own tally, with plain stores,
// and publishes it to the shared account when it has gone far enough from what
// was published last.  So the sum is exact whenever nobody is in a raw
// function, and a peak is off by at most that much for each thread; with one
// thread it is exact.
//
// Like a heap's account, a tally is a height and how far below it the thread is
// (account/account.h): one subtraction counts a block and finds a new height.
//
// Invariant:
//   TALLY-1  a thread that notes a new height changes the difference with none
//            of its stores.  A height below zero is minus the difference,
//            whatever `spare` says; otherwise the difference is the height less
//            `spare`, and that may be below zero.  So a fork by another thread
//            between two of these stores loses no block; the child notes the
//            height (gate_fork.c).

#ifndef PIM_DOMAIN_RAW_COUNT_H
#define PIM_DOMAIN_RAW_COUNT_H

#include "base/config.h"
#include "platform/gate.h"

// How far a thread goes before it publishes.
#define PIM_TALLY_BYTES ((int64_t)64 << 10)
#define PIM_TALLY_BLOCKS ((int64_t)1024)

// The thread's difference reached a new height, or went far down.
void pim_tally_rose(pim_tally *tally);
void pim_tally_publish(pim_tally *tally);

// Counts one block.  Its thread.
PIM_INLINE void
pim_tally_grow(pim_tally *tally, uint64_t bytes)
{
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_own_add_fast(&tally->total_bytes, (int64_t)bytes);
    pim_own_add_fast(&tally->total_blocks, 1);
    bool rose = pim_own_sub_below_zero(&tally->spare_bytes, (int64_t)bytes);
    if (PIM_UNLIKELY(pim_own_sub_below_zero(&tally->spare_blocks, 1)) ||
        PIM_UNLIKELY(rose)) {
        pim_tally_rose(tally);
    }
}

// Is followed by pim_tally_fold() before the thread's cache has taken in more
// blocks than it can hold.
PIM_INLINE void
pim_tally_shrink(pim_tally *tally, uint64_t bytes)
{
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_own_add_fast(&tally->spare_bytes, (int64_t)bytes);
    pim_own_add_fast(&tally->spare_blocks, 1);
}

// Publishes what is far below.
PIM_INLINE void
pim_tally_fold(pim_tally *tally)
{
    if (PIM_ACCOUNTS &&
        PIM_UNLIKELY(pim_load_relaxed(&tally->spare_bytes) -
                             pim_load_relaxed(&tally->top_bytes) >=
                         PIM_TALLY_BYTES ||
                     pim_load_relaxed(&tally->spare_blocks) -
                             pim_load_relaxed(&tally->top_blocks) >=
                         PIM_TALLY_BLOCKS)) {
        pim_tally_publish(tally);
    }
}

// Counts differences, which may be negative, for a thread with or without a
// tally.
void pim_raw_count(uint64_t bytes, uint64_t blocks);

PIM_INLINE void
pim_raw_count_alloc(uint64_t bytes)
{
    pim_thread *self = pim_gate_self.thread;
    if (PIM_LIKELY(self != NULL)) {
        pim_tally_grow(&self->tally, bytes);
    } else {
        pim_raw_count(bytes, 1);
    }
}

PIM_INLINE void
pim_raw_count_free(uint64_t bytes)
{
    pim_thread *self = pim_gate_self.thread;
    if (PIM_LIKELY(self != NULL)) {
        pim_tally_shrink(&self->tally, bytes);
        pim_tally_fold(&self->tally);
    } else {
        pim_raw_count(-bytes, -(uint64_t)1);
    }
}

#endif // PIM_DOMAIN_RAW_COUNT_H
