// closing.c -- the waiter's side of the gate, as gate.c draws it.
//
// Of two who close, one has the lock and the other waits for it in its own way:
// pim_gate_close() as one that comes to the gate (gate.c), a fork for some time
// (gate_fork.c).

#define _GNU_SOURCE

#include "platform/closing.h"

#include <sched.h>

#include "base/config.h"
#include "base/keep_errno.h"
#include "platform/fence.h"
#include "platform/record.h"
#include "platform/say.h"
#include "platform/threads.h"

PIM_LOCK(pim_gate_lock);
unsigned pim_inside_patience_ms = PIM_INSIDE_PATIENCE_MS;

// --- waiting ---------------------------------------------------------------

bool
pim_gate_pause(unsigned *rounds)
{
    bool sleeps = ++*rounds >= 64;
    if (sleeps) {
        pim_sleep_us(50);
    } else {
        sched_yield();
    }
    return sleeps;
}

// Whether the thread has been outside once when the clock says `until`.  Who
// was waited for in vain is not waited for again, as long as it stays where it
// is.
static bool
wait_for(pim_thread *t, uint64_t until)
{
    uint64_t seen = pim_load_acquire(&t->inside);
    unsigned rounds = 0;
    if ((seen & 1) == 0) {
        return true;
    }
    while (pim_load_acquire(&t->inside) == seen) {
        bool slept = pim_gate_pause(&rounds);
        if (pim_load_relaxed(&t->given_up) == seen ||
            (slept && pim_clock_ms() >= until)) {
            pim_store_relaxed(&t->given_up, seen);
            return false;
        }
    }
    return true;
}

void
pim_gate_say_whom(const char *what, int thread_id)
{
    static _Atomic bool said;
    if (!pim_exchange(&said, true)) {
        pim_say_at_once("pimalloc: %s has waited %u s for thread %d, which is "
                        "inside the allocator, and waits no longer\n",
                        what, pim_inside_patience_ms / 1000, thread_id);
    }
}

bool
pim_gate_wait_for_others(const char *what)
{
    PIM_KEEP_ERRNO;
    const pim_thread *still = NULL;
    uint64_t until = pim_clock_ms() + pim_inside_patience_ms;
    pim_fence_everywhere();
    pim_thread *t = pim_load_acquire(&pim_gate.records);
    for (; t != NULL; t = t->next) {
        if (t != pim_gate_self.thread && !wait_for(t, until)) {
            still = t;
        }
    }
    if (pim_gate_self.locked == 0 && !wait_for(&pim_crowd, until)) {
        still = &pim_crowd;
    }
    if (still != NULL) {
        pim_gate_say_whom(what, pim_load_relaxed(&still->id));
    }
    return still == NULL;
}

// --- closing ---------------------------------------------------------------

void
pim_gate_shut(uint32_t why)
{
    pim_add_relaxed(&pim_gate.closing, 1);
    pim_store_relaxed(&pim_gate.closer, pim_thread_id());
    pim_store_release(&pim_gate.closed, why);
}

void
pim_gate_let_all_in(void)
{
    pim_store_release(&pim_gate.closed, PIM_GATE_OPEN);
    pim_word_wake(&pim_gate.closed);
}
