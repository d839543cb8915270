// heap.h -- the heap of one interpreter, and the process heap.
//
// A heap belongs to an interpreter, not to a thread (HEAP-1): whoever holds the
// interpreter's GIL owns it and uses plain loads and stores.  Everyone else
// pushes onto the page's remote list.  The process heap has no GIL; its owner
// is the holder of its lock.  It serves callers without a thread state.
// What ended interpreters left is no heap's (abandoned/retained.h), but stands
// in the process heap's account and under its lock.
//
// Invariants:
//   HEAP-1  what is marked "owner" is touched only by the owner.
//   HEAP-2  current[][] is never NULL: a class without a page points at
//           pim_empty_page, whose free list is empty for ever.
//   HEAP-3  a heap record is recycled only after pim_gate_synchronize(), and
//           never unmapped, so a stale pointer to it reads a record.
//   HEAP-4  a retired heap owns no page, and all its current pages are the
//           empty page.
//   HEAP-5  retirement goes by the pages' descriptors and trusts no list of
//           pages: in a forked child they may be half changed.
//   HEAP-6  the counters of arenas, pages and units are right whenever the
//           owner is not at work.

#ifndef PIM_HEAP_HEAP_H
#define PIM_HEAP_HEAP_H

#include "abandoned/poison.h"
#include "account/limit.h"
#include "arena/arena_set.h"
#include "base/ring.h"
#include "platform/gate.h"
#include "platform/lock.h"

// What the heap keeps though it holds no live block (idle.c, free.c): pages of
// one unit that ran empty, larger ones in their partial lists, freed spans, the
// last current pages that ran empty.  Owner.
typedef struct pim_idle {
    pim_page *spans[PIM_SPAN_UNITS + 1]; // by their length
    unsigned span_units;
    pim_page *units;      // spans of one unit for any class, the last one first
    unsigned empty_units; // these, and of empty pages in partial lists
    bool may_have_empty[PIM_DOMAINS][PIM_CLASSES]; // which lists have such
    unsigned emptied_pages;                        // so far
    unsigned next_emptied;
    pim_page **emptied[PIM_EMPTY_CURRENT]; // places in current[][]
} pim_idle;

// When idle memory goes (purge.c).  Owner.
typedef struct pim_purge {
    uint64_t at;                // in now_ms(); 0: never
    unsigned calls_until_clock; // slow paths until the clock is looked at again
    uint64_t handed;            // bytes since it was looked at because of such
    uint64_t dirty_peak; // how many units with large blocks would be a new peak
    bool at_peak;        // one was made
    size_t credit;       // units that may be idle on top
} pim_purge;

// What non-owners freed (remote.c).  Any thread.
typedef struct pim_remote {
    _Atomic(pim_page *) pages; // whose list of such blocks is not empty
    pim_pending pending[PIM_DOMAINS];
    _Atomic uint64_t frees;   // so far
    _Atomic uint32_t folding; // odd while pending is taken over
} pim_remote;

typedef struct pim_heap {
    // Owner, fast path.
    pim_page *current[PIM_DOMAINS][PIM_CLASSES];
    pim_account account[PIM_DOMAINS] PIM_CACHE_ALIGNED;

    // Owner, slow path.
    pim_page *partial[PIM_DOMAINS][PIM_CLASSES] PIM_CACHE_ALIGNED;
    pim_arena_set arenas;
    pim_idle idle;
    pim_purge purge;
    pim_limit limit;
    _Atomic uint64_t page_count;

    struct pim_traced *traced; // hooks/trace.c's

    // Any thread.
    pim_remote remote PIM_CACHE_ALIGNED;
    _Atomic uint64_t large_bytes; // of live blocks outside the arenas
    _Atomic uint64_t idle_bytes;  // of maps that are kept; see extent.c
    pim_link large_ring;          // ring of live blocks outside the arenas
    _Atomic bool trim_wanted;     // all idle memory is to be given back
    _Atomic bool hooked; // hooks see what is asked of it (domain/hooked.h)

    // Retirement, under the process heap's lock; see retire.c and poison.c.
    uint8_t retiring; // enum pim_retiring
    bool left;        // in the middle of it; the registry's lock
    pim_condemned condemned;

    // Identity: written under the registry's lock.
    _Atomic int policy;    // enum pim_policy; any thread reads
    bool keeps_always;     // no other policy may be set
    int64_t id;            // CPython's id of the interpreter
    uint32_t generation;   // which runtime of the process
    char name[32];         // of its memory in /proc/PID/maps
    struct pim_heap *next; // registry's pool, or those that are being retired

    // Unique per life of the record, 0 while it is retired.  A stale header may
    // be compared with it at any time, so opening leaves it and what follows
    // alone.
    _Atomic uint64_t serial;

    _Atomic uint32_t life; // its number, or 0; see lives.h
} PIM_CACHE_ALIGNED pim_heap;

extern pim_page pim_empty_page;
extern pim_heap pim_process_heap;
extern pim_lock pim_process_lock; // owner of pim_process_heap

// The owner of abandoned, condemned and poisoned pages: a heap that nobody has.
extern pim_heap pim_defunct_heap;

PIM_INLINE bool
pim_heap_is_process(const pim_heap *heap)
{
    return heap == &pim_process_heap;
}

// Whether what is live when the interpreter ends stays (PIM_KEEP).
PIM_INLINE bool
pim_heap_keeps(const pim_heap *heap)
{
    return pim_load_relaxed(&heap->policy) <= PIM_KEEP;
}

PIM_INLINE pim_ledger
pim_heap_ledger(pim_heap *heap)
{
    return (pim_ledger){heap->account, heap->remote.pending,
                        &heap->remote.folding};
}

// Makes a zeroed or recycled record an empty heap.
void pim_heap_open(pim_heap *heap);

// The owner of a heap comes to a slow path, one of so many: is it still the
// owner? Outside the gate.  Set once by the layer that knows CPython.
extern void (*pim_heap_look_again)(const pim_heap *heap);

// By how much dirty units must grow to make a new peak, and how many of them
// may be idle then.
PIM_INLINE uint64_t
pim_heap_peak_step(uint64_t dirty_units)
{
    return dirty_units / PIM_PEAK_SHARE + PIM_PEAK_UNITS;
}

// The heap has more memory than ever, perhaps: idle memory is to go then.
// Owner.
void pim_heap_note_peak(pim_heap *heap);

// Bytes [from, to) of a page are about to be written for the first time.
// Owner.
void pim_heap_touch(pim_heap *heap, pim_page *page, size_t from, size_t to);

// A purge.at that stands for PIM_PURGE_DELAY_MS after the next look at the
// clock.
#define PIM_PURGE_LATER 1

// Something became idle: the next purge is PIM_PURGE_DELAY_MS away, or nearer.
// Does not look at the clock.  Owner.
PIM_INLINE void
pim_heap_purge_later(pim_heap *heap)
{
    if (heap->purge.at == 0) {
        heap->purge.at = PIM_PURGE_LATER;
    }
}

#endif // PIM_HEAP_HEAP_H
