// registry.c -- births and ends of interpreters.
//
// Invariant:
//   REGISTRY-2  a binding goes, and the epoch ends, before its interpreter's
//               memory can be reused.

#include "interp/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "account/budget.h"
#include "base/keep_errno.h"
#include "interp/binding.h"
#include "interp/current.h"
#include "interp/ended.h"
#include "interp/endings.h"
#include "interp/find_owner.h"
#include "interp/lives.h"
#include "interp/retire.h"
#include "platform/cancel.h"
#include "platform/epoch.h"

_Atomic uint64_t pim_registry_subs;
_Atomic(const pim_life_watch *) pim_life_watcher;

static uint64_t last_serial = 1; // the process heap's

// The addresses at which interpreters were ever bound, main apart.
static _Atomic uintptr_t lowest_interp = UINTPTR_MAX;
static _Atomic uintptr_t highest_interp;

int
pim_registry_set_policy(int64_t id, int policy)
{
    pim_registry_lock();
    const pim_binding *b = pim_binding_of_id(id);
    int err = b == NULL                                       ? -ENOENT
              : b->shared || id == 0 || b->heap->keeps_always ? -ENOTSUP
              : b->doubted && policy != PIM_KEEP              ? -ENOTSUP
                                                              : 0;
    if (err == 0) {
        pim_store_relaxed(&b->heap->policy, policy);
    }
    pim_registry_unlock();
    return err;
}

void
pim_heap_keep_always(pim_heap *heap)
{
    pim_registry_lock();
    heap->keeps_always = true;
    pim_store_relaxed(&heap->policy, PIM_KEEP);
    pim_registry_unlock();
}

void
pim_registry_doubt(const void *interp)
{
    pim_registry_lock();
    pim_binding *b = pim_binding_find(interp);
    if (b != NULL) {
        b->doubted = true;
        if (!b->shared) {
            pim_store_relaxed(&b->heap->policy, PIM_KEEP);
        }
    }
    pim_registry_unlock();
}

// --- birth -----------------------------------------------------------------

static void in_child(bool adrift);

static pim_heap *
heap_new(int64_t id, uint32_t generation, const pim_maker *maker)
{
    pim_store_release(&pim_gate_on_fork_child[PIM_CHILD_ENDS], in_child);
    pim_heap *heap = pim_life_begin();
    if (heap != NULL) {
        pim_heap_open(heap);
        heap->id = id;
        heap->generation = generation;
        pim_ledger ledger = pim_heap_ledger(heap);
        if (!pim_limit_begin(&heap->limit, &ledger, id, last_serial + 1, maker,
                             &pim_thread_credit)) {
            pim_life_end(heap);
            pim_life_bury(heap);
            return NULL;
        }
        pim_store_relaxed(&heap->policy, pim_load_relaxed(&pim_policy_of_new));
        snprintf(heap->name, sizeof(heap->name), "pimalloc:interp%lld",
                 (long long)id);
        pim_store_release(&heap->serial, ++last_serial);
        pim_current_begin(heap, maker);
    }
    return heap;
}

// Under the lock; nothing is bound to `interp`.
static pim_binding *
bind_new(const void *interp, int64_t id, uint32_t generation, pim_heap *shared,
         const pim_maker *maker)
{
    pim_binding *b = pim_binding_take();
    if (b == NULL) {
        return NULL;
    }
    *b = (pim_binding){.interp = interp,
                       .heap = shared,
                       .id = id,
                       .generation = generation,
                       .shared = shared != NULL};
    if (shared == NULL) {
        b->heap = heap_new(id, generation, maker);
        if (b->heap == NULL) {
            pim_binding_give(b);
            return NULL;
        }
    }
    pim_binding_link(b);
    if (id != 0) {
        uintptr_t at = (uintptr_t)interp;
        if (at < pim_load_relaxed(&lowest_interp)) {
            pim_store_relaxed(&lowest_interp, at);
        }
        if (at > pim_load_relaxed(&highest_interp)) {
            pim_store_relaxed(&highest_interp, at);
        }
        pim_add_relaxed(&pim_registry_subs, 1);
    }
    return b;
}

void
pim_registry_end_other(const void *interp, int64_t id, uint32_t generation)
{
    pim_registry_lock();
    const pim_binding *b = pim_binding_find(interp);
    bool is_other =
        b != NULL && (b->id != id || (id != 0 && b->generation != generation));
    pim_registry_unlock();
    if (is_other) {
        pim_registry_end(interp, 1);
    }
}

pim_heap *
pim_registry_birth(const void *interp, int64_t id, uint32_t generation,
                   pim_heap *shared, const pim_maker *maker)
{
    pim_registry_end_other(interp, id, generation);
    pim_registry_lock();
    pim_binding *b = pim_binding_find(interp);
    if (b != NULL && id == 0) {
        // Main of the next runtime: same address, and what the last one left
        // is still there.  It keeps its heap.
        b->generation = generation;
        b->heap->generation = generation;
    }
    bool is_new = b == NULL;
    if (is_new) {
        b = bind_new(interp, id, generation, shared, maker);
    }
    pim_heap *heap = b != NULL ? b->heap : NULL;
    pim_registry_unlock();
    const pim_life_watch *watch = pim_load_acquire(&pim_life_watcher);
    if (is_new && heap != NULL && shared == NULL && watch != NULL) {
        watch->born(heap);
    }
    return heap;
}

// --- end -------------------------------------------------------------------

static pim_binding *
binding_within(const void *start, size_t bytes)
{
    const char *at = start;
    const char *end =
        at + (bytes < PIM_STATE_OFFSET_MAX ? bytes : PIM_STATE_OFFSET_MAX);
    pim_binding *b = NULL;
    for (; b == NULL && at < end; at += sizeof(void *)) {
        b = pim_binding_find(at);
    }
    return b;
}

// Before any lock: whether a bound interpreter can lie in the block at all.
static bool
may_hold_interp(const void *start, size_t bytes)
{
    uintptr_t from = (uintptr_t)start;
    return from + bytes > pim_load_relaxed(&lowest_interp) &&
           from <= pim_load_relaxed(&highest_interp);
}

// The interpreter of a binding ends.  Under the lock.
static void
unbind(pim_binding *b)
{
    if (!b->shared) {
        pim_ending_begin(b->heap);
    }
    pim_binding_unlink(b);
    pim_binding_give(b);
    pim_sub_relaxed(&pim_registry_subs, 1);
    atomic_fetch_add(&pim_epoch, 1);
}

// One stay inside the gate, so a fork finds a whole heap or one that is handed
// over.  NULL: nobody ended, or one who shares another's heap.
static pim_heap *
end_within(const void *start, size_t bytes, const pim_end_watch *watch,
           void **seen, bool *found)
{
    pim_heap *heap = NULL;
    pim_gate_enter();
    pim_registry_lock();
    pim_binding *b = binding_within(start, bytes);
    *found = b != NULL && b->id != 0;
    if (*found) {
        heap = b->shared ? NULL : b->heap;
        unbind(b);
    }
    pim_registry_unlock();
    if (heap != NULL) {
        *seen = pim_retire_begin(heap, watch);
    }
    pim_gate_exit();
    return heap;
}

bool
pim_registry_end(const void *start, size_t bytes)
{
    if (!may_hold_interp(start, bytes)) {
        return false;
    }
    PIM_KEEP_ERRNO; // the watch may ask for anything
    PIM_ASSERT(!pim_gate_is_inside());
    bool found;
    void *seen = NULL;
    const pim_end_watch *watch = pim_load_acquire(&pim_end_watcher);
    PIM_NO_CANCEL;
    pim_heap *heap = end_within(start, bytes, watch, &seen, &found);
    if (heap != NULL) {
        int64_t id = heap->id; // nobody else has the record yet
        bool kept = pim_heap_keeps(heap);
        pim_ending_finish(heap);
        const pim_life_watch *life = pim_load_acquire(&pim_life_watcher);
        if (life != NULL) {
            life->ended(id, kept);
        }
        if (watch != NULL) {
            watch->notify(seen);
        }
    }
    return found;
}

static void
in_child(bool adrift)
{
    if (adrift) { // nothing here can be trusted, nor is it needed
        pim_binding_forget_all();
        pim_life_forget_all();
        pim_ended_forget_all();
        pim_budget_forget_all();
        pim_store_relaxed(&pim_registry_subs, 0);
    } else {
        pim_limit_drop_all_credits();
    }
    pim_endings_in_child(adrift);
}

// --- the process -----------------------------------------------------------

void
pim_process_heap_init(void)
{
    pim_heap *process = &pim_process_heap;
    if (pim_load_relaxed(&process->serial) == 0) {
        pim_heap_open(process);
        process->id = PIM_PROCESS_ID;
        strcpy(process->name, "pimalloc:process");
        pim_defunct_heap.id = PIM_PROCESS_ID;
        pim_fatal_describe = pim_heap_describe;
        pim_store_release(&process->serial, 1);
    }
}
