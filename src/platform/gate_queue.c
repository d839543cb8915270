// gate_queue.c -- waiting at a closed gate, and when to wait no longer.
//
// A fork closes the gate in its prepare handler, and the handlers of those who
// were registered before us run after ours.  Such a handler may wait for a
// thread that comes to the gate: it wants a lock that the thread holds, or asks
// it to end.  Then both would wait for ever, and nobody can tell the gate that
// the handlers are through: fork() has no hook after them.
//
//   fork(): our prepare --> his prepare: lock(M) --> ... --> clone()
//           gate closed          ^ sleeps                    the child's memory
//                                |
//   thread: lock(M) --> malloc: gate closed
//
// So the thread is let in, although that is not safe: if it is inside at the
// very moment of the clone, the child is adrift (gate_fork.c).  That is made
// improbable:
//
//   - Who is let in leaves as soon as ever, and when it next comes it is let in only
//     if that is still needed.
//   - It is needed while the forking thread sleeps, since nobody sleeps inside of
//     clone(), which may take long in a large process.  Once M is free, it does not
//     sleep any more, and whoever comes waits.
//   - A handler may wait without sleeping, and the system may not say who sleeps.
//     Then it takes PIM_GATE_PATIENCE_AWAKE_MS for the first time, and a new map,
//     which nobody gets while clone() copies the others, comes before.
//
// In a process where it happened once, patience is short.

#define _GNU_SOURCE

#include "platform/gate_queue.h"

#include "base/config.h"
#include "platform/os.h"
#include "platform/say.h"
#include "platform/threads.h"

// How often a waiting thread looks: at first, and if it has reason to expect
// that it will be let in.
#define LOOK_MS 10
#define LOOK_SOON_MS 1

// Looks, in short order, at which the forking thread sleeps, or time that it
// takes without that.
#define LOOKS_SOON 2
#define AWAKE_SOON_MS 5

static _Atomic bool has_happened;

typedef struct wait {
    bool expects;    // to be let in
    bool again;      // was let in at this closing
    unsigned ms;     // waited
    unsigned asleep; // so many ms of that the forking thread slept
    bool mapped;     // no copying is under way since long
} wait;

static void
say_once(int id)
{
    if (!pim_exchange(&has_happened, true)) {
        pim_say_at_once(
            "pimalloc: a fork handler that was registered before pimalloc's "
            "waits for thread %d, which waits in pimalloc until fork() is "
            "through; it goes on\n",
            id);
    }
}

// Whether the handlers of a fork sleep, not ours.
static bool
sleeps(uint32_t why)
{
    return why == PIM_GATE_FOR_FORK &&
           pim_thread_sleeps(pim_load_relaxed(&pim_gate.closer));
}

// Waits while clone() copies the process's maps; what takes long in it is that.
static void
wait_for_copying(void)
{
    size_t bytes = pim_os_page_size();
    void *map = pim_os->map(bytes);
    if (map != NULL) {
        pim_os->unmap(map, bytes);
    }
}

// Whether `w` has waited long enough at a gate that is closed for that reason.
static bool
is_over(const wait *w, uint32_t why)
{
    unsigned asleep = w->again     ? 0
                      : w->expects ? LOOKS_SOON * LOOK_SOON_MS
                                   : PIM_GATE_PATIENCE_MS;
    return w->mapped || (w->asleep >= asleep && sleeps(why));
}

// One more look.
static void
look(wait *w, uint32_t why)
{
    unsigned ms = w->expects ? LOOK_SOON_MS : LOOK_MS;
    if (pim_word_wait(&pim_gate.closed, why, ms)) {
        w->ms += ms;
        w->asleep = sleeps(why) ? w->asleep + ms : 0;
    }
    unsigned awake = w->again ? AWAKE_SOON_MS : PIM_GATE_PATIENCE_AWAKE_MS;
    if (w->ms >= awake) {
        wait_for_copying();
        // The gate is about to be opened, if that was it.
        w->mapped = pim_word_wait(&pim_gate.closed, why, AWAKE_SOON_MS);
    }
}

uint64_t
pim_gate_queue(const pim_thread *self)
{
    uint64_t closing = pim_load_acquire(&pim_gate.closing);
    bool again = pim_load_relaxed(&self->let_in) == closing;
    wait w = {.again = again,
              .expects = again || pim_load_relaxed(&has_happened)};
    for (;;) {
        uint32_t why = pim_load_acquire(&pim_gate.closed);
        if (why == PIM_GATE_OPEN ||
            pim_load_acquire(&pim_gate.closing) != closing) {
            return 0;
        }
        if (why != PIM_GATE_BY_OTHER && is_over(&w, why)) {
            say_once(pim_thread_id());
            return closing;
        }
        look(&w, why);
    }
}
