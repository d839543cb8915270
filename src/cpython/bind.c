// bind.c -- binding interpreters to heaps at their first request.
//
// The first mem or obj request under an interpreter is the earliest signal of
// its birth at which its feature flags are set.  Legacy interpreters share
// objects with main, which frees some of theirs long after they ended: they get
// main's heap.  What has no thread state gets the process heap.  A raw request
// only looks whether its interpreter is known.
//
// What a thread remembers holds for the epoch; of an interpreter whose end may
// not be seen (identity.h) it holds for as long as CPython answers with the
// same id.

#include "cpython/bind.h"

#include "cpython/identity.h"
#include "cpython/symbols.h"
#include "cpython/tstate.h"
#include "domain/birth.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/epoch.h"

static _Atomic uint32_t generation;

static pim_heap *
main_heap(void)
{
    PyInterpreterState *interp = pim_py.interp_main();
    if (interp == NULL) {
        return NULL;
    }
    pim_birth_expect(pim_py_state_bytes());
    return pim_registry_birth(interp, 0, pim_interp_generation(), NULL, NULL);
}

// NULL: there was no memory for it.
static pim_heap *
heap_of(PyInterpreterState *interp)
{
    int64_t id = pim_py.interp_id(interp);
    uint32_t runtime = pim_interp_generation();
    pim_heap *heap = pim_registry_find(interp, id, runtime);
    if (heap != NULL) {
        return heap;
    }
    if (id == 0) {
        return main_heap();
    }
    pim_registry_end_other(interp, id, runtime); // it made none afterwards
    bool is_sure = pim_identity_of_newborn(interp);
    pim_maker maker = pim_birth_maker(interp);
    if (!is_sure && !pim_identity_is_sure()) {
        maker = (pim_maker){.serial = 0}; // it may have ended unseen
    }
    bool legacy = pim_py_is_legacy(interp);
    // One that a tenant makes has a heap of its own, whatever it shares with
    // main, or the tenant would have main's memory.
    bool shares = legacy && !pim_limit_is_tenant(&maker);
    pim_heap *shared = shares ? main_heap() : NULL;
    if (shares && shared == NULL) {
        return NULL;
    }
    heap = pim_registry_birth(interp, id, runtime, shared, &maker);
    if (shares) {
        pim_limit_drop_credit(&pim_thread_credit);
    }
    if (heap != NULL && !is_sure) {
        pim_registry_doubt(interp);
    }
    if (legacy && !shares && heap != NULL) {
        pim_heap_keep_always(heap); // main uses some of its objects afterwards
    }
    return heap;
}

// Main's state is static: nobody else is ever there.
static void
remember(PyInterpreterState *interp, pim_heap *heap, uint64_t epoch)
{
    int64_t id = pim_py.interp_id(interp);
    if (id == 0 ||
        (pim_identity_is_sure() && !pim_registry_is_doubted(interp))) {
        pim_current_remember(interp, heap, epoch);
    } else {
        pim_current_remember_doubted(interp, id, heap, epoch);
    }
}

// What the thread remembers of an interpreter; NULL: nothing.
static pim_heap *
recall(PyInterpreterState *interp, uint64_t epoch)
{
    const pim_current *self = &pim_current_self;
    if (self->epoch != epoch) {
        return NULL;
    }
    bool is_doubted =
        self->doubted == interp && self->doubted_id == pim_py.interp_id(interp);
    return self->interp == interp || self->hooked == interp || is_doubted
               ? self->heap
               : NULL;
}

// As resolve(), for the raw domain: an interpreter whose first request is a raw
// one may have no feature flags yet, and raw's callers may have no thread
// state.
static pim_heap *
look(void)
{
    uint64_t epoch = pim_load_acquire(&pim_epoch);
    PyThreadState *tstate = pim_py.tstate();
    if (tstate == NULL) {
        if (pim_tstate_settle_detached()) {
            pim_current_remember_none(epoch);
        }
        return NULL;
    }
    PyInterpreterState *interp = pim_py.tstate_interp(tstate);
    pim_heap *heap = recall(interp, epoch);
    if (heap != NULL) {
        return heap;
    }
    heap = pim_registry_find(interp, pim_py.interp_id(interp),
                             pim_interp_generation());
    if (heap != NULL) {
        pim_tstate_settle_thread(tstate);
        remember(interp, heap, epoch);
    }
    return heap;
}

static pim_heap *
resolve(void)
{
    uint64_t epoch = pim_load_acquire(&pim_epoch);
    PyThreadState *tstate = pim_py.tstate();
    if (tstate == NULL) {
        return &pim_process_heap;
    }
    PyInterpreterState *interp = pim_py.tstate_interp(tstate);
    pim_heap *heap = recall(interp, epoch); // a thread without a word to read
    if (heap != NULL) {
        return heap;
    }
    heap = heap_of(interp);
    if (heap == NULL) {
        return &pim_process_heap; // works for everyone; tried again next time
    }
    pim_tstate_settle_thread(tstate);
    remember(interp, heap, epoch);
    return heap;
}

static int64_t
ask_id(void)
{
    PyThreadState *tstate = pim_py.tstate();
    return tstate != NULL ? pim_py.interp_id(pim_py.tstate_interp(tstate))
                          : PIM_PROCESS_ID;
}

void
pim_interp_new_runtime(void)
{
    pim_add_relaxed(&generation, 1);
    pim_current_resolve = resolve;
    pim_current_lookup = look;
    pim_current_ask_id = ask_id;
    pim_birth_is_told_later = pim_py_needs_state();
    atomic_fetch_add(&pim_epoch, 1);
}

bool
pim_interp_is_served(void)
{
    pim_figures main;
    return pim_registry_figures(0, &main) &&
           main.generation == pim_interp_generation();
}

uint32_t
pim_interp_generation(void)
{
    return pim_load_relaxed(&generation);
}
