// gate_state.h -- what the gate (gate.h) knows: of each thread, and of itself.
//
// Data only, lowest of the gate's files: the others read and write it.

#ifndef PIM_PLATFORM_GATE_STATE_H
#define PIM_PLATFORM_GATE_STATE_H

#include "base/atomic.h"

// What a thread counted and did not publish yet (domain/raw_count.h):
// differences, so they may be negative.  Written by the thread, and once after
// a fork by the child; read by any; stays when the record passes on to another
// thread.
typedef struct pim_tally {
    _Atomic int64_t spare_bytes; // how far the difference is below its top
    _Atomic int64_t spare_blocks;
    _Atomic int64_t top_bytes; // highest since it was last published; TALLY-1
    _Atomic int64_t top_blocks;
    _Atomic int64_t total_bytes; // allocated, ever; never published
    _Atomic int64_t total_blocks;
} pim_tally;

typedef struct pim_thread {
    _Atomic uint64_t inside; // odd while inside; written by its thread
    unsigned depth;          // nesting; written and read by its thread
    _Atomic bool used;       // it is a thread's
    _Atomic bool watched;    // the thread's end will be told; see record.h
    _Atomic uint8_t finds;   // its thread's (cpython/tstate.c); 0 if unused
    pim_tally tally;
    struct pim_thread *next;         // all records, newest first; set once
    struct pim_raw_cache *raw_cache; // its thread's; stays like the tally
    _Atomic int id;                  // the system's, of the thread
    _Atomic uint64_t let_in;         // at which closing; written by its thread
    _Atomic uint64_t given_up; // of `inside`: nobody waits for that any more
    _Atomic uint64_t chained;  // odd while in the hooks' chain; its thread's
} PIM_CACHE_ALIGNED pim_thread;

_Static_assert(offsetof(pim_thread, next) == PIM_CACHE_LINE,
               "what a thread writes often is in a cache line of its own");

// What a thread knows of itself.
typedef struct pim_self {
    pim_thread *thread; // NULL until the first entry, and after thread exit
    unsigned locked;    // depth of entries made without a record (no memory)
    uint8_t forks;      // prepare handlers that ran, and no other one yet
    uint8_t nested;     // calls of pim_gate_close() when it was closed by us
    bool closed;        // it has closed the gate, for a fork or otherwise
    bool for_fork;      // ... for a fork
    bool closing;       // it is about to
    bool gave_up;       // somebody is inside all the same
    bool keyed;         // its end will be noticed; not if there was no memory
    bool ended;         // what is called when it ends was called
    bool in_chain;      // in the hooks' chain (hooks/chain.c)
} pim_self;

extern PIM_TLS pim_self pim_gate_self;

// Why the gate is closed.
enum pim_gate_closed {
    PIM_GATE_OPEN,
    PIM_GATE_BY_OTHER, // pim_gate_close()
    PIM_GATE_CLOSING,  // by a fork that waits for those inside
    PIM_GATE_FOR_FORK, // they are out, and fork handlers of others run
};

typedef struct pim_gate_state {
    _Atomic uint32_t closed;     // enum pim_gate_closed
    _Atomic bool fence_on_enter; // there is no membarrier
    _Atomic bool adrift;         // for ever, from the fork on; see gate.h
    _Atomic bool started;        // by pim_gate_start()
    _Atomic int closer;          // the thread that closed it last
    _Atomic uint64_t closing;    // which closing it is
    _Atomic(pim_thread *) records;
} pim_gate_state;

extern pim_gate_state pim_gate;

// All records, of threads that ended too; any thread, without a lock.
PIM_INLINE const pim_thread *
pim_gate_records(void)
{
    return pim_load_acquire(&pim_gate.records);
}

#endif // PIM_PLATFORM_GATE_STATE_H
