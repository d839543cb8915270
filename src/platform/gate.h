// gate.h -- a section that fork() and retirement can wait out.
//
// A thread is *inside* while it changes shared structures: a heap's slow path,
// a remote free, any call into mimalloc.  Entering and leaving cost a few plain
// stores; whoever needs the threads out pays instead:
//
//   - fork: the prepare handler closes the gate and waits until no other thread
//     is inside.  So the child inherits whole structures and free locks, ours
//     and mimalloc's, and never waits for a thread that is gone.
//   - pim_gate_synchronize(): waits until every thread that was inside has left
//     once.  After it, nobody holds a pointer that was unlinked before it.
//
// The asymmetry needs the expedited membarrier of Linux 4.14; without it, and
// where a process has forbidden it to itself, every entry executes a full fence
// instead (pim_gate.fence_on_enter; fence.c), as does every entry before
// pim_gate_start().
//
// Nothing of this waits for ever.  Nobody waits longer than
// PIM_INSIDE_PATIENCE_MS for a thread that does not leave, and a thread that a
// fork keeps waiting is let in after PIM_GATE_PATIENCE_MS (gate_queue.c).  If
// then a thread was inside at the very moment of the fork, the child is
// *adrift*: it trusts nothing of what threads share, and lives on libc's malloc
// (domain/adrift.h).
//
// Invariants:
//   GATE-1  inside is odd exactly while its thread is inside.
//   GATE-2  only its thread writes a record's inside and depth.
//   GATE-3  records are never unmapped, so a scan may read a dead thread's.
//   GATE-4  no pim_lock is held when the gate is entered at depth 0.
//   GATE-5  a child that is not adrift has no structure half changed.

#ifndef PIM_PLATFORM_GATE_H
#define PIM_PLATFORM_GATE_H

#include "base/check.h"
<<<<<<< HEAD

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
    _Atomic bool adrift;         // for ever, from the fork on; see above
} pim_gate_state;

extern pim_gate_state pim_gate;
=======
#include "platform/gate_state.h"
>>>>>>> circles

// Called inside the gate, in this order, when a thread that has a record ends;
// NULL: nothing.
enum { PIM_EXIT_RAW, PIM_EXIT_MI, PIM_EXITS };
extern void (*_Atomic pim_gate_on_thread_exit[PIM_EXITS])(void);

// Called in a forked child, in this order, by its only thread, which may enter;
// all locks are free.  Likewise NULL.
enum { PIM_CHILD_ENDS, PIM_CHILD_ADRIFT, PIM_CHILD_CALLS };
extern void (*_Atomic pim_gate_on_fork_child[PIM_CHILD_CALLS])(bool adrift);

void pim_gate_enter_slow(void);
void pim_gate_wait_open(pim_thread *self);
void pim_gate_exit_slow(void);

// Lets fork wait for us from now on and asks the kernel for membarriers.
// Before the first heap exists; later calls do nothing.
void pim_gate_start(void);

// Whether this process is a child that is adrift.
PIM_INLINE bool
pim_gate_is_adrift(void)
{
    return PIM_UNLIKELY(pim_load_relaxed(&pim_gate.adrift));
}

// Enters; nests.  Never fails: threads for which no record can be had share
// one, and are inside one at a time.
PIM_INLINE void
pim_gate_enter(void)
{
    pim_thread *self = pim_gate_self.thread;
    if (PIM_UNLIKELY(self == NULL)) {
        pim_gate_enter_slow();
        return;
    }
    if (self->depth++ != 0) {
        return;
    }
    pim_own_add(&self->inside, 1);
    if (PIM_UNLIKELY(pim_load_relaxed(&pim_gate.fence_on_enter))) {
        atomic_thread_fence(memory_order_seq_cst);
    } else {
        atomic_signal_fence(memory_order_seq_cst);
    }
    if (PIM_UNLIKELY(pim_load_acquire(&pim_gate.closed))) {
        pim_gate_wait_open(self);
    }
}

PIM_INLINE void
pim_gate_exit(void)
{
    pim_thread *self = pim_gate_self.thread;
    if (PIM_UNLIKELY(self == NULL)) {
        pim_gate_exit_slow();
        return;
    }
    PIM_ASSERT(self->depth != 0);
    if (--self->depth == 0) {
        pim_store_release(&self->inside, pim_load_relaxed(&self->inside) + 1);
    }
}

// Waits until every other thread that is inside now has been outside once.
// The caller is outside and holds no lock.  False: one stays inside.
bool pim_gate_synchronize(void);

// Keeps every other thread out, as fork does, until pim_gate_open(): nobody
// else is in a slow path, and all locks are free.  The caller is outside and
// holds no lock; meanwhile it may enter.  Nests.  One thread at a time; others
// that close or fork wait for it.  False: a fork is under way that may be
// waiting for the caller, or a thread stays inside.
bool pim_gate_close(void);
void pim_gate_open(void);

// Whether they will be called for the calling thread: not if the system had no
// memory for its key, and not again once they were, although destructors that
// run later may take a record again.
bool pim_gate_will_tell_exit(void);

// Whether the calling thread is inside.
bool pim_gate_is_inside(void);

#endif // PIM_PLATFORM_GATE_H
