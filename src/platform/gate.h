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
#include "platform/gate_state.h"

// Called inside the gate, in this order, when a thread that has a record ends;
// NULL: nothing.
enum { PIM_EXIT_HOOKS, PIM_EXIT_RAW, PIM_EXIT_MI, PIM_EXITS };
extern void (*_Atomic pim_gate_on_thread_exit[PIM_EXITS])(void);

// Called in a forked child, in this order, by its only thread, which may enter;
// all locks are free.  Likewise NULL.
enum {
    PIM_CHILD_ENDS,
    PIM_CHILD_ADRIFT,
    PIM_CHILD_HOOKS,
    PIM_CHILD_RECORD,
    PIM_CHILD_SAMPLES,
    PIM_CHILD_TRACE,
    PIM_CHILD_CALLS
};
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
