// registry.c -- bindings of interpreters to heaps, and the records' pool.
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
//   REGISTRY-3  records and bindings are never unmapped (HEAP-3), and a record
//               keeps its index.

#include "heap/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "heap/current.h"
#include "heap/poison.h"
#include "platform/os.h"

#define BUCKETS 256

typedef struct binding {
    const void *interp;
    pim_heap *heap;
    int64_t id;
    uint32_t generation;
    bool shared;          // the heap is another interpreter's
    struct binding *next; // in its bucket, or in the pool
    struct binding *younger;
    struct binding *older;
} binding;

pim_heap pim_process_heap;
pim_lock pim_process_lock = PIM_LOCK_INIT;
_Atomic uint64_t pim_registry_subs;

static pim_lock registry_lock = PIM_LOCK_INIT;
static binding *buckets[BUCKETS];
static binding *oldest;
static binding *youngest;
static binding *binding_pool;
static uint64_t last_serial = 1; // the process heap's

// The addresses at which interpreters were ever bound, main apart.
static _Atomic uintptr_t lowest_interp = UINTPTR_MAX;
static _Atomic uintptr_t highest_interp;

typedef struct ended_interp {
    pim_figures figures;
    pim_class_figures by_class[PIM_SLOTS];
} ended_interp;

static ended_interp ended[PIM_ENDED_KEPT];
static uint64_t ended_count; // ever; the last is at (ended_count - 1) % KEPT

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

// --- pools -----------------------------------------------------------------

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

// --- bindings --------------------------------------------------------------

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

static pim_heap *
heap_new(int64_t id, uint32_t generation, const pim_maker *maker)
{
    pim_heap *heap = pim_heap_take();
    if (heap != NULL) {
        pim_heap_open(heap);
        heap->id = id;
        heap->generation = generation;
        if (!pim_limit_begin(heap, last_serial + 1, maker,
                             &pim_current_self.credit)) {
            pim_heap_put(heap);
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

pim_heap *
pim_registry_birth(const void *interp, int64_t id, uint32_t generation,
                   pim_heap *shared, const pim_maker *maker)
{
    lock();
    binding *b = binding_find(interp);
    if (b != NULL && id == 0 && b->id == 0) {
        // Main of the next runtime: same address, and what the last one left
        // is still there.  It keeps its heap.
        b->generation = generation;
        b->heap->generation = generation;
    } else if (b != NULL && (b->id != id || b->generation != generation)) {
        unlock();
        pim_registry_end(interp, 1);
        lock();
        b = binding_find(interp);
    }
    if (b == NULL) {
        b = bind_new(interp, id, generation, shared, maker);
    }
    pim_heap *heap = b != NULL ? b->heap : NULL;
    unlock();
    return heap;
}

// --- end -------------------------------------------------------------------

// CPython aligns the state inside the block that it allocates, and its debug
// layer adds a header: the interpreter begins within this many bytes.
#define STATE_OFFSET_MAX 256

static binding *
binding_within(const void *start, size_t bytes)
{
    const char *at = start;
    const char *end =
        at + (bytes < STATE_OFFSET_MAX ? bytes : STATE_OFFSET_MAX);
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

static ended_interp *
next_ended(void)
{
    return &ended[ended_count++ % PIM_ENDED_KEPT];
}

static void
remember(ended_interp *entry, const pim_figures *left, const pim_heap *heap)
{
    entry->figures = *left;
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        pim_heap_class_figures(heap, slot, &entry->by_class[slot]);
    }
}

// What stays live until somebody frees it late, if anybody does.  Raw blocks are
// handed on and freed by others.
static uint64_t
left_for_ever(const pim_heap *heap, const pim_figures *left)
{
    return pim_heap_keeps(heap) ? left->slot[PIM_SLOT(PIM_MEM)].live_bytes +
                                      left->slot[PIM_SLOT(PIM_OBJ)].live_bytes
                                : 0;
}

bool
pim_registry_end(const void *start, size_t bytes)
{
    if (!may_hold_interp(start, bytes)) {
        return false;
    }
    lock();
    binding *b = binding_within(start, bytes);
    if (b == NULL || b->id == 0) {
        unlock();
        return false;
    }
    // Known as ended at once; what was left follows when it is settled.
    pim_figures left;
    pim_heap_figures(b->heap, &left);
    left.ended = true;
    ended_interp *entry = NULL;
    if (!b->shared) {
        entry = next_ended();
        remember(entry, &left, b->heap);
    }
    binding_unlink(b);
    binding copy = *b;
    b->next = binding_pool;
    binding_pool = b;
    pim_sub_relaxed(&pim_registry_subs, 1);
    atomic_fetch_add(&pim_current_epoch, 1);
    unlock();

    if (!copy.shared) {
        pim_heap_retire(copy.heap, &left);
        lock();
        if (entry->figures.id != left.id ||
            entry->figures.generation != left.generation) {
            entry = next_ended(); // many others ended meanwhile
        }
        remember(entry, &left, copy.heap);
        pim_limit_end(copy.heap, left_for_ever(copy.heap, &left));
        pim_heap_put(copy.heap);
        unlock();
    }
    return true;
}

// --- figures ---------------------------------------------------------------

// The ended interpreter at place i, the oldest kept being 0; NULL past the end.
static const ended_interp *
ended_at(size_t i)
{
    uint64_t kept = ended_count < PIM_ENDED_KEPT ? ended_count : PIM_ENDED_KEPT;
    return i < kept ? &ended[(ended_count - kept + i) % PIM_ENDED_KEPT] : NULL;
}

size_t
pim_registry_ids(int64_t *ids, size_t capacity)
{
    size_t n = 0;
    lock();
    const ended_interp *gone;
    for (size_t i = 0; (gone = ended_at(i)) != NULL; i++, n++) {
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

static const ended_interp *
ended_of(int64_t id)
{
    const ended_interp *found = NULL;
    const ended_interp *gone;
    for (size_t i = 0; (gone = ended_at(i)) != NULL; i++) {
        if (gone->figures.id == id) {
            found = gone;
        }
    }
    return found;
}

int
pim_registry_set_policy(int64_t id, int policy)
{
    lock();
    const binding *b = binding_of_id(id);
    int err = b == NULL                                       ? -ENOENT
              : b->shared || id == 0 || b->heap->keeps_always ? -ENOTSUP
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
    bool found = false;
    lock();
    const ended_interp *gone;
    for (size_t i = 0; !found && (gone = ended_at(i)) != NULL; i++) {
        found =
            gone->figures.id == id && gone->figures.generation == generation;
    }
    unlock();
    return found;
}

bool
pim_registry_figures(int64_t id, pim_figures *out)
{
    lock();
    const ended_interp *gone = NULL;
    const binding *b = binding_of_id(id);
    if (id == PIM_PROCESS_ID) {
        pim_heap_figures(&pim_process_heap, out);
        out->id = PIM_PROCESS_ID;
    } else if (b != NULL) {
        pim_heap_figures(b->heap, out);
    } else if ((gone = ended_of(id)) != NULL) {
        *out = gone->figures;
    }
    unlock();
    return id == PIM_PROCESS_ID || b != NULL || gone != NULL;
}

bool
pim_registry_class_figures(int64_t id, unsigned slot, pim_class_figures *out)
{
    lock();
    const ended_interp *gone = NULL;
    const binding *b = binding_of_id(id);
    if (id == PIM_PROCESS_ID) {
        pim_heap_class_figures(&pim_process_heap, slot, out);
    } else if (b != NULL) {
        pim_heap_class_figures(b->heap, slot, out);
    } else if ((gone = ended_of(id)) != NULL) {
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
    const ended_interp *gone;
    for (size_t i = 0; (gone = ended_at(i)) != NULL; i++) {
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
