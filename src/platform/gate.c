// gate.c -- entering, leaving, and the wait for a quiet moment.
//
//   entering thread                     waiting thread
//     inside = odd                        closed = true   (or: unlink something)
//     compiler fence                      membarrier      (a fence in every thread)
//     closed?  (or: read what's linked)   inside odd?
//
// Either the waiter sees the odd number, or the entering thread sees what the
// waiter wrote before: the store-load pattern of Dekker's algorithm with both
// fences on the waiter's side (fence.c).
//
// There is no system call before pim_gate_start(): a program that has the
// library in it and no Python pays nothing.

#define _GNU_SOURCE

#include "platform/gate.h"

#include <pthread.h>

#include "base/keep_errno.h"
#include "platform/closing.h"
#include "platform/fence.h"
#include "platform/gate_queue.h"
#include "platform/record.h"
#include "platform/threads.h"

void (*_Atomic pim_gate_on_thread_exit[PIM_EXITS])(void);
void (*_Atomic pim_gate_on_fork_child[PIM_CHILD_CALLS])(bool adrift);

// --- a closed gate ---------------------------------------------------------

static void
step_in(pim_thread *record)
{
    pim_own_add(&record->inside, 1);
    atomic_thread_fence(memory_order_seq_cst);
}

static void
step_out(pim_thread *record)
{
    pim_store_release(&record->inside, pim_load_relaxed(&record->inside) + 1);
}

// Whether the gate is closed, and not by the calling thread.
static bool
is_closed_to_us(void)
{
    return pim_load_acquire(&pim_gate.closed) != PIM_GATE_OPEN &&
           !pim_gate_self.closed;
}

// Whether who was let in at that closing, and has stepped in, may stay.  The
// gate may have been opened and closed again meanwhile, by somebody who then
// did not wait.
static bool
may_stay(uint64_t let_in)
{
    return !is_closed_to_us() ||
           (let_in != 0 && pim_load_acquire(&pim_gate.closing) == let_in);
}

// The gate was closed while `self` entered: steps out, waits, steps in again.
PIM_COLD void
pim_gate_wait_open(pim_thread *self)
{
    PIM_KEEP_ERRNO;
    uint64_t let_in = 0;
    while (!may_stay(let_in)) {
        step_out(self);
        let_in = pim_gate_queue(self);
        if (let_in != 0) {
            pim_store_release(&self->let_in, let_in); // before it is inside
        }
        step_in(self);
    }
}

// --- without a record ------------------------------------------------------

static void
enter_with_crowd(void)
{
    uint64_t let_in = 0;
    pthread_mutex_lock(&pim_crowd_lock);
    pim_store_relaxed(&pim_crowd.id, pim_thread_id());
    step_in(&pim_crowd);
    while (!may_stay(let_in)) {
        step_out(&pim_crowd);
        pthread_mutex_unlock(
            &pim_crowd_lock); // who closed the gate may need it
        let_in = pim_gate_queue(&pim_crowd);
        pthread_mutex_lock(&pim_crowd_lock);
        if (let_in != 0) {
            pim_store_release(&pim_crowd.let_in, let_in);
        }
        step_in(&pim_crowd);
    }
    pim_gate_self.locked = 1;
}

// The first entry of a thread, or one of a thread without a record.
PIM_COLD void
pim_gate_enter_slow(void)
{
    PIM_KEEP_ERRNO;
    pim_self *self = &pim_gate_self;
    pim_record_take();
    if (self->thread != NULL) {
        pim_gate_enter();
    } else if (self->locked != 0) {
        self->locked++;
    } else {
        enter_with_crowd();
    }
}

PIM_COLD void
pim_gate_exit_slow(void)
{
    PIM_ASSERT(pim_gate_self.locked != 0);
    if (--pim_gate_self.locked == 0) {
        step_out(&pim_crowd);
        pthread_mutex_unlock(&pim_crowd_lock);
    }
}

// --- questions -------------------------------------------------------------

bool
pim_gate_will_tell_exit(void)
{
    return pim_gate_self.keyed && !pim_gate_self.ended;
}

bool
pim_gate_is_inside(void)
{
    const pim_self *self = &pim_gate_self;
    return self->locked != 0 ||
           (self->thread != NULL && self->thread->depth != 0);
}

// --- waiting and closing ---------------------------------------------------

// Who has closed the gate has done the waiting; and in a child, whose handlers
// run, there is nobody, although records may look as if there were.
bool
pim_gate_synchronize(void)
{
    PIM_ASSERT(!pim_gate_is_inside());
    return pim_gate_self.closed
               ? !pim_gate_self.gave_up
               : pim_gate_wait_for_others("the end of an interpreter");
}

// False: a fork has the lock, and the calling thread should not wait for it.
static bool
take_lock(void)
{
    const pim_thread *record = pim_gate_self.thread;
    unsigned rounds = 0;
    while (!pim_lock_try(&pim_gate_lock)) {
        uint32_t why = pim_load_acquire(&pim_gate.closed);
        if (why == PIM_GATE_OPEN || why == PIM_GATE_BY_OTHER) {
            pim_gate_pause(&rounds);
        } else if (pim_gate_queue(record != NULL ? record : &pim_crowd) != 0) {
            return false;
        }
    }
    return true;
}

bool
pim_gate_close(void)
{
    pim_self *self = &pim_gate_self;
    if (self->closed) {
        self->nested++;
        return true;
    }
    pim_record_take(); // it may be needed meanwhile
    self->closing = true;
    bool taken = take_lock();
    if (taken) {
        pim_gate_shut(PIM_GATE_BY_OTHER);
        self->closed = true;
    }
    bool alone = taken && pim_gate_wait_for_others("a walk or trim");
    if (taken && !alone) {
        pim_gate_open();
    }
    self->closing = false;
    return alone;
}

void
pim_gate_open(void)
{
    pim_self *self = &pim_gate_self;
    if (self->nested != 0) {
        self->nested--;
        return;
    }
    self->closed = false;
    pim_gate_let_all_in();
    pim_lock_release(&pim_gate_lock);
}

// --- set-up ----------------------------------------------------------------

static void
thread_ends(void *record)
{
    pim_self *self = &pim_gate_self;
    (void)record;
    self->ended = true;
    pim_gate_enter();
    for (unsigned i = 0; i < PIM_EXITS; i++) {
        void (*tell)(void) = pim_load_acquire(&pim_gate_on_thread_exit[i]);
        if (tell != NULL) {
            tell();
        }
    }
    pim_gate_exit();
    pim_thread *mine = self->thread;
    self->thread = NULL; // a later destructor may take another
    if (mine != NULL) {
        pim_record_give(mine);
    }
}

static void
set_up(void)
{
    pim_fence_start();
    pim_record_start(thread_ends);
    pim_store_release(&pim_gate.started, true);
}

void
pim_gate_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
}
