// registry.c -- bindings of interpreters to heaps.
//
//   buckets[hash(interp)] -> binding -> binding
//                               |
//                               v heap: its own, or main's for a legacy one
//
// registry_lock guards everything here.  It is taken on slow paths only: once
// per thread and interpreter and epoch, and at births and ends.
//
// Invariants:
//   REGISTRY-1  an interpreter pointer is bound at most once.
//   REGISTRY-2  a binding goes, and the epoch ends, before its interpreter's
//               memory can be reused.
//   REGISTRY-3  bindings are never unmapped, nor are records (HEAP-3).

#include "heap/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/keep_errno.h"
#include "heap/budget.h"
#include "heap/current.h"
#include "heap/endings.h"
#include "heap/lives.h"
#include "heap/poison.h"
#include "platform/cancel.h"
#include "platform/os.h"

#define BUCKETS 256

typedef struct binding {
    const void *interp;
    pim_heap *heap;
    int64_t id;
    uint32_t generation;
    bool shared;          // the heap is another interpreter's
    bool doubted;         // see pim_registry_doubt()
    struct binding *next; // in its bucket, or in the pool
    struct binding *younger;
    struct binding *older;
} binding;

pim_heap pim_process_heap;
PIM_LOCK(pim_process_lock);
_Atomic uint64_t pim_registry_subs;

static PIM_LOCK(registry_lock);
static binding *buckets[BUCKETS];
static binding *oldest;
static binding *youngest;
static binding *binding_pool;
static uint64_t last_serial = 1; // the process heap's

// The addresses at which interpreters were ever bound, main apart.
static _Atomic uintptr_t lowest_interp = UINTPTR_MAX;
static _Atomic uintptr_t highest_interp;

static void
lock(void)
{
    pim_gate_enter();
    pim_lock_acquire(&registry_lock);
}

static void
unlock(void)
{
    pim_lock_release(&registry_lock);
    pim_gate_exit();
}

void
pim_registry_lock(void)
{
    lock();
}

void
pim_registry_unlock(void)
{
    unlock();
}

// --- bindings --------------------------------------------------------------

static binding *
binding_take(void)
{
    if (binding_pool == NULL) {
        size_t bytes = pim_os_page_size();
        binding *chunk = pim_os->map(bytes);
        for (size_t i = 0; chunk != NULL && i < bytes / sizeof(*chunk); i++) {
            chunk[i].next = binding_pool;
            binding_pool = &chunk[i];
        }
    }
    binding *b = binding_pool;
    if (b != NULL) {
        binding_pool = b->next;
    }
    return b;
}

static binding **
bucket_of(const void *interp)
{
    uint64_t key = (uint64_t)(uintptr_t)interp >> 4;
    return &buckets[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

static binding *
binding_find(const void *interp)
{
    binding *b = *bucket_of(interp);
    while (b != NULL && b->interp != interp) {
        b = b->next;
    }
    return b;
}

static void
binding_link(binding *b)
{
    binding **bucket = bucket_of(b->interp);
    b->next = *bucket;
    *bucket = b;
    b->younger = NULL;
    b->older = youngest;
    if (youngest != NULL) {
        youngest->younger = b;
    } else {
        oldest = b;
    }
    youngest = b;
}

static void
binding_unlink(binding *b)
{
    binding **at = bucket_of(b->interp);
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    if (b->older != NULL) {
        b->older->younger = b->younger;
    } else {
        oldest = b->younger;
    }
    if (b->younger != NULL) {
        b->younger->older = b->older;
    } else {
        youngest = b->older;
    }
}

pim_heap *
pim_registry_find(const void *interp, int64_t id, uint32_t generation)
{
    lock();
    const binding *b = binding_find(interp);
    bool known = b != NULL && b->id == id && b->generation == generation;
    pim_heap *heap = known ? b->heap : NULL;
    unlock();
    return heap;
}

bool
pim_registry_is_bound(const void *interp)
{
    lock();
    bool bound = binding_find(interp) != NULL;
    unlock();
    return bound;
}

void
pim_registry_doubt(const void *interp)
{
    lock();
    binding *b = binding_find(interp);
    if (b != NULL) {
        b->doubted = true;
        if (!b->shared) {
            pim_store_relaxed(&b->heap->policy, PIM_KEEP);
        }
    }
    unlock();
}

bool
pim_registry_is_doubted(const void *interp)
{
    lock();
    const binding *b = binding_find(interp);
    bool doubted = b != NULL && b->doubted;
    unlock();
    return doubted;
}

// Ids may repeat: the newest wins.  Under the lock.
static const binding *
binding_of_id(int64_t id)
{
    const binding *b = youngest;
    while (b != NULL && b->id != id) {
        b = b->older;
    }
    return b;
}

pim_heap *
pim_registry_heap(int64_t id)
{
    lock();
    const binding *b = binding_of_id(id);
    pim_heap *heap = b != NULL ? b->heap : NULL;
    unlock();
    return heap;
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
        if (!pim_limit_begin(heap, last_serial + 1, maker,
                             &pim_current_self.credit)) {
            pim_life_end(heap);
            pim_life_bury(heap);
            return NULL;
        }
        pim_store_relaxed(&heap->policy, pim_load_relaxed(&pim_policy_of_new));
        snprintf(heap->name, sizeof(heap->name), "pimalloc:interp%lld",
                 (long long)id);
        pim_store_release(&heap->serial, ++last_serial);
        pim_current_begin(heap);
    }
    return heap;
}

// Under the lock; nothing is bound to `interp`.
static binding *
bind_new(const void *interp, int64_t id, uint32_t generation, pim_heap *shared,
         const pim_maker *maker)
{
    binding *b = binding_take();
    if (b == NULL) {
        return NULL;
    }
    *b = (binding){.interp = interp,
                   .heap = shared,
                   .id = id,
                   .generation = generation,
                   .shared = shared != NULL};
    if (shared == NULL) {
        b->heap = heap_new(id, generation, maker);
        if (b->heap == NULL) {
            b->next = binding_pool;
            binding_pool = b;
            return NULL;
        }
    }
    binding_link(b);
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
    lock();
    const binding *b = binding_find(interp);
    bool is_other =
        b != NULL && (b->id != id || (id != 0 && b->generation != generation));
    unlock();
    if (is_other) {
        pim_registry_end(interp, 1);
    }
}

pim_heap *
pim_registry_birth(const void *interp, int64_t id, uint32_t generation,
                   pim_heap *shared, const pim_maker *maker)
{
    pim_registry_end_other(interp, id, generation);
    lock();
    binding *b = binding_find(interp);
    if (b != NULL && id == 0) {
        // Main of the next runtime: same address, and what the last one left
        // is still there.  It keeps its heap.
        b->generation = generation;
        b->heap->generation = generation;
    }
    if (b == NULL) {
        b = bind_new(interp, id, generation, shared, maker);
    }
    pim_heap *heap = b != NULL ? b->heap : NULL;
    unlock();
    return heap;
}

// --- end -------------------------------------------------------------------

static binding *
binding_within(const void *start, size_t bytes)
{
    const char *at = start;
    const char *end =
        at + (bytes < PIM_STATE_OFFSET_MAX ? bytes : PIM_STATE_OFFSET_MAX);
    binding *b = NULL;
    for (; b == NULL && at < end; at += sizeof(void *)) {
        b = binding_find(at);
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
unbind(binding *b)
{
    if (!b->shared) {
        pim_ending_begin(b->heap);
    }
    binding_unlink(b);
    b->next = binding_pool;
    binding_pool = b;
    pim_sub_relaxed(&pim_registry_subs, 1);
    atomic_fetch_add(&pim_current_epoch, 1);
}

// One stay inside the gate, so a fork finds a whole heap or one that is handed over.
// NULL: nobody ended, or one who shares another's heap.
static pim_heap *
end_within(const void *start, size_t bytes, const pim_end_watch *watch,
           void **seen, bool *found)
{
    pim_heap *heap = NULL;
    pim_gate_enter();
    lock();
    binding *b = binding_within(start, bytes);
    *found = b != NULL && b->id != 0;
    if (*found) {
        heap = b->shared ? NULL : b->heap;
        unbind(b);
    }
    unlock();
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
        pim_ending_finish(heap);
        if (watch != NULL) {
            watch->tell(seen);
        }
    }
    return found;
}

static void
in_child(bool adrift)
{
    if (adrift) { // nothing here can be trusted, nor is it needed
        memset(buckets, 0, sizeof(buckets));
        oldest = youngest = binding_pool = NULL;
        pim_life_forget_all();
        pim_ended_forget_all();
        pim_budget_forget_all();
        pim_store_relaxed(&pim_registry_subs, 0);
    } else {
        pim_limit_drop_all_credits();
    }
    pim_endings_in_child(adrift);
}

// --- figures ---------------------------------------------------------------

size_t
pim_registry_ids(int64_t *ids, size_t capacity)
{
    size_t n = 0;
    lock();
    const pim_ended *gone;
    for (size_t i = 0; (gone = pim_ended_at(i)) != NULL; i++, n++) {
        if (n < capacity) {
            ids[n] = gone->figures.id;
        }
    }
    for (const binding *b = oldest; b != NULL; b = b->younger) {
        if (b->shared) {
            continue; // a part of main
        }
        if (n < capacity) {
            ids[n] = b->id;
        }
        n++;
    }
    unlock();
    return n;
}

int
pim_registry_set_policy(int64_t id, int policy)
{
    lock();
    const binding *b = binding_of_id(id);
    int err = b == NULL                                       ? -ENOENT
              : b->shared || id == 0 || b->heap->keeps_always ? -ENOTSUP
              : b->doubted && policy != PIM_KEEP              ? -ENOTSUP
                                                              : 0;
    if (err == 0) {
        pim_store_relaxed(&b->heap->policy, policy);
    }
    unlock();
    return err;
}

void
pim_heap_keep_always(pim_heap *heap)
{
    lock();
    heap->keeps_always = true;
    pim_store_relaxed(&heap->policy, PIM_KEEP);
    unlock();
}

bool
pim_registry_visit(int64_t id, void (*visit)(void *arg, pim_heap *heap),
                   void *arg)
{
    lock();
    const binding *b = binding_of_id(id);
    if (b != NULL) {
        visit(arg, b->heap);
    }
    unlock();
    return b != NULL;
}

bool
pim_registry_has_ended(int64_t id, uint32_t generation)
{
    lock();
    bool found = pim_ended_has(id, generation);
    unlock();
    return found;
}

bool
pim_registry_figures(int64_t id, pim_figures *out)
{
    lock();
    const pim_ended *gone = NULL;
    const binding *b = binding_of_id(id);
    if (id == PIM_PROCESS_ID) {
        pim_heap_figures(&pim_process_heap, out);
        out->id = PIM_PROCESS_ID;
    } else if (b != NULL) {
        pim_heap_figures(b->heap, out);
    } else if ((gone = pim_ended_of(id)) != NULL) {
        *out = gone->figures;
    }
    unlock();
    return id == PIM_PROCESS_ID || b != NULL || gone != NULL;
}

bool
pim_registry_class_figures(int64_t id, unsigned slot, pim_class_figures *out)
{
    lock();
    const pim_ended *gone = NULL;
    const binding *b = binding_of_id(id);
    if (id == PIM_PROCESS_ID) {
        pim_heap_class_figures(&pim_process_heap, slot, out);
    } else if (b != NULL) {
        pim_heap_class_figures(b->heap, slot, out);
    } else if ((gone = pim_ended_of(id)) != NULL) {
        *out = gone->by_class[slot];
    }
    unlock();
    return id == PIM_PROCESS_ID || b != NULL || gone != NULL;
}

void
pim_registry_each(void (*visit)(void *arg, const pim_figures *figures),
                  void *arg)
{
    pim_figures figures;
    lock();
    const pim_ended *gone;
    for (size_t i = 0; (gone = pim_ended_at(i)) != NULL; i++) {
        visit(arg, &gone->figures);
    }
    for (const binding *b = oldest; b != NULL; b = b->younger) {
        if (!b->shared) {
            pim_heap_figures(b->heap, &figures);
            visit(arg, &figures);
        }
    }
    unlock();
}

void
pim_registry_each_heap(void (*visit)(void *arg, pim_heap *heap), void *arg)
{
    lock();
    for (const binding *b = oldest; b != NULL; b = b->younger) {
        if (!b->shared) {
            visit(arg, b->heap);
        }
    }
    unlock();
}
