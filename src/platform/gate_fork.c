// gate_fork.c -- fork() by threads of a process in which others allocate.
//
//   prepare   close the gate, wait for those inside
//             PIM_INSIDE_PATIENCE_MS
//   clone()
//   parent    open the gate
//   child     forget the others; finish what they were doing between two stays
//             inside (pim_gate_on_fork_child); open the gate
//
// The handlers are registered by a constructor, so that ours are among the
// first of the process: prepare handlers run last-registered first, so a
// handler that waits for a thread which is about to enter does so before we
// close the gate.  What is linked before us, or loads us late, is earlier
// still, and its handlers find the gate closed (gate_queue.c).  Ours do nothing
// before pim_gate_start().
//
// The child is adrift if a thread was inside when the memory was copied:
//
//   - one for which the parent waited in vain
//   - one that was let in at the closed gate
//   - the forking thread itself, in the handler of a signal that came when it was
//     inside
//
// Which threads were, their records tell.  That they can be believed although
// the system copies one page after the other while they run: of a page that is
// copied, a thread's later stores either are seen in the child as well (by a
// translation that its processor still has), or fault and wait until the
// copying is over.  So if a store of a thread is in the child, all earlier ones
// of it are, `inside` being the first of a stay and the last.

#define _GNU_SOURCE

#include <pthread.h>

#include "base/keep_errno.h"
#include "platform/closing.h"
#include "platform/fence.h"
#include "platform/gate.h"
#include "platform/record.h"
#include "platform/threads.h"

// --- prepare ---------------------------------------------------------------

// Whether the lock could be had in time.
static bool
take_gate_lock(void)
{
    uint64_t until = pim_clock_ms() + pim_inside_patience_ms;
    bool taken;
    while (!(taken = pim_lock_try(&pim_gate_lock)) && pim_clock_ms() < until) {
        pim_sleep_us(50);
    }
    return taken;
}

static void
close_for_fork(void)
{
    pim_self *self = &pim_gate_self;
    pim_record_take(); // between the handlers this thread may allocate
    self->closing = true;
    self->for_fork = take_gate_lock();
    self->gave_up = !self->for_fork;
    if (self->for_fork) {
        pim_gate_shut(PIM_GATE_CLOSING);
        self->closed = true;
        self->gave_up = !pim_gate_wait_for_others("fork()");
        pim_store_release(&pim_gate.closed, PIM_GATE_FOR_FORK);
    } else {
        pim_gate_say_whom("fork()", pim_load_relaxed(&pim_gate.closer));
    }
    self->closing = false;
}

// Whoever has closed the gate and forks, as a handler of a signal may, need not
// do it again; and whoever is inside cannot.
static void
fork_prepare(void)
{
    PIM_KEEP_ERRNO;
    pim_self *self = &pim_gate_self;
    if (!pim_load_acquire(&pim_gate.started)) {
        return;
    }
    self->forks++;
    if (!self->closed && !self->closing && !pim_gate_is_inside()) {
        close_for_fork();
    }
}

// --- parent ----------------------------------------------------------------

static void
fork_parent(void)
{
    pim_self *self = &pim_gate_self;
    if (self->forks == 0) {
        return; // it began before we did
    }
    self->forks--;
    if (self->forks == 0 && self->for_fork) {
        self->for_fork = false;
        pim_gate_open();
    }
}

// --- child -----------------------------------------------------------------

static bool
was_inside(const pim_thread *t, bool gave_up)
{
    bool is_odd = (pim_load_relaxed(&t->inside) & 1) != 0;
    bool let_in =
        pim_load_relaxed(&t->let_in) == pim_load_relaxed(&pim_gate.closing);
    // Else it was about to find the gate closed.
    return is_odd && (gave_up || let_in);
}

static bool
is_adrift(void)
{
    const pim_self *self = &pim_gate_self;
    if (self->closing || (!self->closed && !self->gave_up)) {
        return true; // forked from inside
    }
    bool adrift = self->locked == 0 && was_inside(&pim_crowd, self->gave_up);
    for (const pim_thread *t = pim_gate_records(); t != NULL; t = t->next) {
        adrift |= t != self->thread && was_inside(t, self->gave_up);
    }
    return adrift;
}

// Notes the height that a thread which is gone was about to note (TALLY-1).
static void
settle_height(_Atomic int64_t *top, _Atomic int64_t *spare)
{
    int64_t height = pim_load_relaxed(top);
    int64_t left = pim_load_relaxed(spare);
    if (height < 0 || left < 0) {
        pim_store_relaxed(top, height < 0 ? -height : height - left);
        pim_store_relaxed(spare, 0);
    }
}

static void
put_outside(pim_thread *t)
{
    uint64_t inside = pim_load_relaxed(&t->inside);
    pim_store_relaxed(&t->inside, (inside + 1) & ~UINT64_C(1));
}

static void
forget_others(void)
{
    pim_self *self = &pim_gate_self;
    pim_thread *t = pim_load_acquire(&pim_gate.records);
    for (; t != NULL; t = t->next) {
        if (t != self->thread) {
            put_outside(t);
            t->depth = 0;
            pim_record_give(t);
            settle_height(&t->tally.top_bytes, &t->tally.spare_bytes);
            settle_height(&t->tally.top_blocks, &t->tally.spare_blocks);
        }
    }
    if (self->thread != NULL) {
        pim_store_relaxed(&self->thread->id, pim_thread_id());
    }
    if (self->locked == 0) {
        put_outside(&pim_crowd);
        pim_crowd_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    }
}

static void
tell_others(bool adrift)
{
    for (unsigned i = 0; i < PIM_CHILD_CALLS; i++) {
        void (*call)(bool) = pim_load_acquire(&pim_gate_on_fork_child[i]);
        if (call != NULL) {
            call(adrift);
        }
    }
}

static void
fork_child(void)
{
    PIM_KEEP_ERRNO;
    pim_self *self = &pim_gate_self;
    if (self->forks == 0) {
        return;
    }
    bool adrift = pim_gate_is_adrift() || is_adrift();
    forget_others();
    pim_fence_in_child();
    pim_store_relaxed(&pim_gate.adrift, adrift);
    if (adrift || !self->closed) {
        pim_locks_renew();
        self->closed = false;
        self->for_fork = false;
        pim_store_relaxed(&pim_gate.closed, PIM_GATE_OPEN);
    }
    tell_others(adrift);
    self->gave_up = false;
    fork_parent();
}

__attribute__((constructor(101))) static void
register_fork_handlers(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}
