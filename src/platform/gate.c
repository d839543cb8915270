// gate.c -- thread records, fork handlers and the wait for a quiet moment.
//
//   entering thread                     waiting thread
//     inside = odd                        closed = true   (or: unlink something)
//     compiler fence                      membarrier      (a fence in every thread)
//     closed?  (or: read what's linked)   inside odd?
//
// Either the waiter sees the odd number, or the entering thread sees what the
// waiter wrote before: the store-load pattern of Dekker's algorithm with both
// fences on the waiter's side.
//
// The fork handlers are registered by a constructor, so that ours are among the
// first of the process: prepare handlers run last-registered first, so a handler
// that waits for a thread which is about to enter does so before we close the
// gate.  They do nothing before pim_gate_start(), and there is no system call
// before it: a program that has the library in it and no Python pays nothing.

#define _GNU_SOURCE

#include "platform/gate.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/keep_errno.h"
#include "platform/lock.h"
#include "platform/os.h"

#define RECORDS_PER_MAP 64

PIM_TLS pim_self pim_gate_self;
pim_gate_state pim_gate = {.fence_on_enter = true};
void (*_Atomic pim_gate_on_thread_exit[PIM_EXITS])(void);

static pim_lock gate_lock = PIM_LOCK_INIT; // records, and held across fork
static _Atomic(pim_thread *) records;      // all; changed under gate_lock
static pim_thread first_records[RECORDS_PER_MAP];
static pthread_key_t exit_key;
static bool exit_key_made;
static _Atomic bool started;

// --- thread records --------------------------------------------------------

static void
records_link(pim_thread *chunk)
{
    for (unsigned i = 0; i < RECORDS_PER_MAP; i++) {
        chunk[i].next = pim_load_relaxed(&records);
        pim_store_release(&records, &chunk[i]);
    }
}

// A free record, or NULL if there is no memory for one.  Under gate_lock.
static pim_thread *
record_take(void)
{
    if (pim_load_relaxed(&records) == NULL) {
        records_link(first_records);
    }
    for (;;) {
        for (pim_thread *t = pim_load_relaxed(&records); t != NULL;
             t = t->next) {
            if (!t->used) {
                t->used = true;
                return t;
            }
        }
        pim_thread *chunk = pim_os->map(pim_align_up(
            RECORDS_PER_MAP * sizeof(pim_thread), pim_os_page_size()));
        if (chunk == NULL) {
            return NULL;
        }
        records_link(chunk);
    }
}

// Under gate_lock, or in a forked child.
static void
record_release(pim_thread *record)
{
    pim_store_relaxed(&record->finds, 0);
    record->used = false;
}

const pim_thread *
pim_gate_records(void)
{
    return pim_load_acquire(&records);
}

static void
thread_exits(void *record)
{
    pim_thread *self = record;
    pim_gate_self.ended = true;
    pim_gate_enter();
    for (unsigned i = 0; i < PIM_EXITS; i++) {
        void (*tell)(void) = pim_load_acquire(&pim_gate_on_thread_exit[i]);
        if (tell != NULL) {
            tell();
        }
    }
    pim_gate_exit();
    pim_lock_acquire(&gate_lock);
    record_release(self);
    pim_gate_self.thread = NULL; // a later destructor may register it again
    pim_lock_release(&gate_lock);
}

// The first entry of a thread, or one of a thread without a record.
PIM_COLD void
pim_gate_enter_slow(void)
{
    PIM_KEEP_ERRNO;
    pim_self *self = &pim_gate_self;
    if (self->locked != 0 || self->forking) {
        self->locked++; // the lock is held by this thread
        return;
    }
    pim_lock_acquire(&gate_lock);
    pim_thread *record = record_take();
    if (record == NULL) {
        self->locked = 1; // inside, with the lock held
        return;
    }
    pim_lock_release(&gate_lock);
    self->keyed = exit_key_made && pthread_setspecific(exit_key, record) == 0;
    self->thread = record;
    pim_gate_enter();
}

PIM_COLD void
pim_gate_exit_slow(void)
{
    PIM_ASSERT(pim_gate_self.locked != 0);
    if (--pim_gate_self.locked == 0 && !pim_gate_self.forking) {
        pim_lock_release(&gate_lock);
    }
}

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

// --- waiting ---------------------------------------------------------------

// A full fence in every running thread of the process.
static void
fence_everywhere(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!pim_load_relaxed(&pim_gate.fence_on_enter)) {
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
}

// Spins politely: sections are short unless their thread was descheduled.
static void
pause_for(unsigned *rounds)
{
    if (++*rounds < 64) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000}, NULL);
    }
}

// Waits until each other thread that is inside has left once.  Under gate_lock.
static void
wait_for_others(void)
{
    fence_everywhere();
    for (pim_thread *t = pim_load_relaxed(&records); t != NULL; t = t->next) {
        uint64_t seen = pim_load_acquire(&t->inside);
        unsigned rounds = 0;
        if (t == pim_gate_self.thread || (seen & 1) == 0) {
            continue;
        }
        while (pim_load_acquire(&t->inside) == seen) {
            pause_for(&rounds);
        }
    }
}

void
pim_gate_synchronize(void)
{
    PIM_ASSERT(!pim_gate_is_inside());
    pim_lock_acquire(&gate_lock);
    wait_for_others();
    pim_lock_release(&gate_lock);
}

// The gate was closed while `self` entered: steps out, waits, steps in again.
PIM_COLD void
pim_gate_wait_open(pim_thread *self)
{
    while (pim_load_acquire(&pim_gate.closed) && !pim_gate_self.forking) {
        pim_store_release(&self->inside, pim_load_relaxed(&self->inside) + 1);
        pim_lock_acquire(&gate_lock);
        pim_lock_release(&gate_lock);
        pim_own_add(&self->inside, 1);
        atomic_thread_fence(memory_order_seq_cst);
    }
}

// --- closing, and fork -----------------------------------------------------

void
pim_gate_close(void)
{
    // A record first: between the handlers this thread may allocate, and could
    // not get one under its own lock.
    pim_gate_enter();
    pim_gate_exit();
    if (pim_gate_self.locked != 0) {
        return; // inside without a record: the lock is held already
    }
    pim_lock_acquire(&gate_lock);
    pim_gate_self.forking = true;
    pim_store_relaxed(&pim_gate.closed, true);
    wait_for_others();
}

void
pim_gate_open(void)
{
    if (!pim_gate_self.forking) {
        return;
    }
    pim_gate_self.forking = false;
    pim_store_release(&pim_gate.closed, false);
    pim_lock_release(&gate_lock);
}

static void
fork_prepare(void)
{
    if (pim_load_acquire(&started)) {
        pim_gate_close();
    }
}

static void membarrier_register(void);

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
fork_child(void)
{
    if (!pim_load_relaxed(&started)) {
        return;
    }
    // The other threads are gone; none was inside.
    for (pim_thread *t = pim_load_relaxed(&records); t != NULL; t = t->next) {
        if (t != pim_gate_self.thread) {
            // It may have been entering, about to find the gate closed.
            uint64_t inside = pim_load_relaxed(&t->inside);
            pim_store_relaxed(&t->inside, (inside + 1) & ~UINT64_C(1));
            t->depth = 0;
            record_release(t);
            settle_height(&t->tally.top_bytes, &t->tally.spare_bytes);
            settle_height(&t->tally.top_blocks, &t->tally.spare_blocks);
        }
    }
    membarrier_register();
    pim_gate_open();
}

// --- set-up ----------------------------------------------------------------

static void
membarrier_register(void)
{
    long err = syscall(SYS_membarrier,
                       MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    pim_store_relaxed(&pim_gate.fence_on_enter, err != 0);
}

static void
set_up(void)
{
    membarrier_register();
    exit_key_made = pthread_key_create(&exit_key, thread_exits) == 0;
    pim_store_release(&started, true);
}

__attribute__((constructor(101))) static void
register_fork_handlers(void)
{
    pthread_atfork(fork_prepare, pim_gate_open, fork_child);
}

void
pim_gate_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
}
