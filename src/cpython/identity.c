// identity.c -- what is known of the raw table in force.
//
//             the table changed                a request arrives
//   SURE --------------------------> OPEN --------------------------> SURE
//     ^                                |
//     |  ours again, or another one    | a state came past us, or it is CPython's
//     '----------- OTHERS <------------' own, which passes nothing on
//
// The table is looked at when interpreters are made known, at every so many
// slow paths of a heap if there are any but main, and when somebody asks.  What
// was remembered ends with the epoch at each change.  Where it cannot be looked
// at, an interpreter whose state came past us is evidence, and one whose state
// did not.
//
// `lock` guards the tables; states are read without it.

#include "cpython/identity.h"

#include <string.h>

#include "abandoned/poison.h"
#include "cpython/table.h"
#include "domain/birth.h"
#include "domain/raw_foreign.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/epoch.h"
#include "platform/say.h"
#include "platform/threads.h"

// How often, and after what time, a table that may go again is looked at once
// more.
#define LOOKS 20
#define LOOK_US 500

typedef enum trust { SURE, OPEN, OTHERS } trust;

static PIM_LOCK(lock);
static _Atomic int state = SURE;
static PyMemAllocatorEx judged; // not ours: a layer if SURE
static _Atomic bool verbose;

static bool
is_same(const PyMemAllocatorEx *a, const PyMemAllocatorEx *b)
{
    return a->ctx == b->ctx && a->malloc == b->malloc &&
           a->calloc == b->calloc && a->realloc == b->realloc &&
           a->free == b->free;
}

// Under the lock.
static void
become(trust next)
{
    if (pim_load_relaxed(&state) != (int)next) {
        pim_store_relaxed(&pim_raw_awaited, next == OPEN);
        pim_store_release(&state, (int)next);
        atomic_fetch_add(&pim_epoch, 1);
    }
}

// Under the lock.  Where the table cannot be read, only evidence counts.
static void
judge(void)
{
    PyMemAllocatorEx now;
    if (!pim_table_read_raw(&now)) {
        return;
    }
    if (pim_table_is_our_raw(&now)) {
        memset(&judged, 0, sizeof(judged));
        become(SURE);
    } else if (!is_same(&now, &judged)) {
        judged = now;
        become(pim_table_is_pythons_raw(&now) ? OTHERS : OPEN);
    }
}

// Says so when it has shown twice in a row: what a thread sees in passing may
// be a moment of CPython's own (symbols.h, pim_py_swaps_raw).
static void
say_if_others(trust now)
{
    static _Atomic unsigned times;
    if (now != OTHERS) {
        pim_store_relaxed(&times, 0);
    } else if (verbose && pim_add_relaxed(&times, 1) == 1) {
        pim_say_at_once(
            "pimalloc: another raw allocator was set after pimalloc "
            "and passes nothing on: the ends of interpreters cannot "
            "be seen, so each request finds out whose it is, and "
            "the policies poison and release are refused\n");
        verbose = false; // once is enough
    }
}

static trust
look(void)
{
    PyMemAllocatorEx table;
    if (pim_identity_is_sure() &&
        (!pim_table_read_raw(&table) || pim_table_is_our_raw(&table))) {
        return SURE;
    }
    pim_gate_enter();
    pim_lock_acquire(&lock);
    judge();
    trust now = (trust)pim_load_relaxed(&state);
    pim_lock_release(&lock);
    pim_gate_exit();
    return now;
}

// The same with evidence: whether what is asked of the table comes to us.
static trust
conclude(bool arrives)
{
    PyMemAllocatorEx table;
    pim_gate_enter();
    pim_lock_acquire(&lock);
    judge();
    if (judged.malloc != NULL || !pim_table_read_raw(&table)) { // not ours
        bool may_pass_on = !pim_table_is_pythons_raw(&judged);
        become(arrives && may_pass_on ? SURE : OTHERS);
    }
    trust now = (trust)pim_load_relaxed(&state);
    pim_lock_release(&lock);
    pim_gate_exit();
    say_if_others(now);
    return now;
}

// A raw request came while a table was not decided on: that one passes them on.
static void
arrived(void)
{
    pim_gate_enter();
    pim_lock_acquire(&lock);
    PyMemAllocatorEx before = judged;
    judge();
    if (pim_load_relaxed(&state) == OPEN && is_same(&before, &judged)) {
        become(SURE);
    }
    pim_lock_release(&lock);
    pim_gate_exit();
}

// An interpreter whose end was missed has the heap still, if the one that asks
// is at its address: what it left is mixed with what the other one allocated
// since, and must be kept.
static void
check_owner(const pim_heap *heap)
{
    PyThreadState *tstate = pim_py.tstate();
    if (tstate == NULL || heap->id == 0) {
        return;
    }
    if (pim_py.interp_id(pim_py.tstate_interp(tstate)) != heap->id) {
        pim_registry_set_policy(heap->id, PIM_KEEP);
        atomic_fetch_add(&pim_epoch, 1);
    }
}

// Now and then, by the owner of a heap, outside the gate.
static void
look_again(const pim_heap *heap)
{
    if (pim_load_relaxed(&pim_registry_subs) != 0) {
        look();
        check_owner(heap);
    }
}

void
pim_identity_start(bool says)
{
    verbose = says;
    pim_raw_arrived = arrived;
    pim_heap_look_again = look_again;
    pim_gate_enter();
    pim_lock_acquire(&lock);
    memset(&judged, 0, sizeof(judged));
    become(SURE);
    pim_lock_release(&lock);
    pim_gate_exit();
}

bool
pim_identity_is_sure(void)
{
    return pim_load_acquire(&state) == SURE;
}

// One that was there before us would have ended, had the memory come through
// us.
bool
pim_identity_of_newborn(const void *interp)
{
    bool seen = pim_birth_has_seen(interp) && !pim_registry_is_bound(interp);
    conclude(seen);
    return seen;
}

// Whether a block that is asked for by the table comes from here.
static bool
try_table(void)
{
    PyMemAllocatorEx now;
    pim_py.get_allocator(PYMEM_DOMAIN_RAW, &now);
    void *block = now.malloc(now.ctx, PIM_RAW_WATCH_BYTES);
    if (block == NULL) {
        return true;
    }
    bool seen = pim_birth_has_seen(block);
    now.free(now.ctx, block);
    return seen;
}

// CPython's own table may be there for a moment.
static trust
look_twice(void)
{
    trust now = look();
    for (unsigned i = 0; i < LOOKS && now == OTHERS && pim_py_swaps_raw();
         i++) {
        pim_sleep_us(LOOK_US);
        now = look();
    }
    return now;
}

// Where the table cannot be read, CPython is asked: this is no request for
// memory.
static trust
ask(void)
{
    PyMemAllocatorEx table;
    if (pim_table_read_raw(&table)) {
        return look_twice();
    }
    pim_py.get_allocator(PYMEM_DOMAIN_RAW, &table);
    return pim_table_is_our_raw(&table) ? SURE : OPEN;
}

bool
pim_identity_raw_is_ours(void)
{
    trust now = ask();
    if (now == OPEN && pim_py.tstate() != NULL) {
        now = conclude(try_table());
    }
    return now != OTHERS;
}
