// large.c -- blocks above PIM_SPAN_MAX, and spans for which there is no arena:
// in maps of their own that grow in place (extent.c), or from mimalloc where
// there is no map.  Raw blocks above PIM_SMALL_MAX come from mimalloc, up to
// where a map pays.
//
// Owner as in heap.h.  Everything that calls mimalloc is inside the gate.

#include "heap/large.h"

#include <string.h>

#include "abandoned/poison_extent.h"
#include "extent/mi_blocks.h"
#include "heap/admit.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "heap/sampled.h"
#include "platform/os.h"

_Atomic uint64_t pim_foreign_frees;

// --- accounts --------------------------------------------------------------

static void
account_new(pim_heap *heap, const pim_large *large)
{
    pim_account_add(&heap->account[PIM_DOMAIN_INDEX(large->domain)],
                    PIM_CLASS_LARGE, large->usable);
    pim_add_relaxed(&heap->large_bytes, large->usable);
}

// A block of the process heap, or one that it answers for.  NULL: it was
// poisoned since its header was found, and is freed.
static pim_heap *
account_free_left(pim_large *large)
{
    pim_heap *process = &pim_process_heap;
    pim_lock_acquire(&pim_process_lock);
    bool poisoned = pim_poison_free_extent(pim_large_block(large));
    if (!poisoned) {
        pim_account_remove(&process->account[PIM_DOMAIN_INDEX(large->domain)],
                           PIM_CLASS_LARGE, large->usable);
        pim_sub_relaxed(&process->large_bytes, large->usable);
        pim_large_ring_remove(large);
    }
    pim_lock_release(&pim_process_lock);
    return poisoned ? NULL : process;
}

// Takes the block out of its account and its ring.  Returns the heap of the
// former; NULL: it is freed already.
static pim_heap *
account_free(const pim_heap *caller, pim_large *large)
{
    pim_heap *heap = large->heap;
    if (!pim_heap_uncount_living(caller, heap, large->serial, large->domain,
                                 large->usable)) {
        return account_free_left(large);
    }
    pim_large_ring_remove(large);
    pim_sub_relaxed(&heap->large_bytes, large->usable);
    return heap;
}

// mark: of the block for which it stands; 0: it stands for itself.
static void *
finish(pim_heap *heap, pim_large *large, unsigned domain, pim_large_kind kind,
       uint64_t mark)
{
    void *block = pim_large_block(large);
    large->heap = heap;
    large->serial = heap != NULL ? pim_load_relaxed(&heap->serial) : 0;
    large->domain = (uint8_t)domain;
    large->kind = (uint8_t)kind;
    large->mark = mark;
    large->cookie = pim_large_cookie(block);
    if (heap != NULL) {
        account_new(heap, large);
        pim_large_ring_add(heap, large);
        if (mark == 0) {
            large->mark = pim_heap_take_sample(heap, domain, large->usable, 0);
        } else {
            pim_heap_skip_sample(heap, domain);
        }
    }
    return block;
}

// --- allocation ------------------------------------------------------------

static size_t
map_size(size_t block_bytes)
{
    return pim_align_up(block_bytes + PIM_LARGE_HEADER, pim_os_page_size());
}

static void *
finish_map(pim_heap *heap, unsigned domain, size_t used, const pim_extent *map,
           bool is_small)
{
    pim_large *large = pim_large_set_extent(map);
    large->is_small = is_small;
    large->usable = used - PIM_LARGE_HEADER;
    return finish(heap, large, domain, PIM_LARGE_MAP, 0);
}

static void *
alloc_map(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    pim_extent map;
    size_t used = map_size(size);
    // Who asks for zeroes may never write to most of them.
    pim_extent_kind kind = zero ? PIM_EXTENT_SPARSE : PIM_EXTENT_FIXED;
    if (!pim_extent_take(&heap->idle_bytes, used, kind, &map) &&
        !(pim_large_cut_rooms(heap) &&
          pim_extent_take(&heap->idle_bytes, used, kind, &map))) {
        return NULL;
    }
    used = map.dirty > used ? map.dirty : used;
    void *block = finish_map(heap, domain, used, &map, false);
    if (zero && map.dirty > PIM_LARGE_HEADER) {
        size_t dirty = map.dirty - PIM_LARGE_HEADER;
        memset(block, 0, dirty < size ? dirty : size);
    }
    return block;
}

static void *
alloc_mi(pim_heap *heap, unsigned domain, size_t size, bool zero, uint64_t mark)
{
    size_t bytes;
    pim_large *large = pim_mi_alloc(size + PIM_LARGE_HEADER, zero, &bytes);
    if (large == NULL) {
        return NULL;
    }
    large->usable = bytes - PIM_LARGE_HEADER;
    return finish(heap, large, domain, PIM_LARGE_MI, mark);
}

// What a request takes of a limit.  Raw blocks have no spans: mimalloc's
// classes are as far apart as an eighth.
static uint64_t
limited_bytes(unsigned domain, size_t size)
{
    if (domain == PIM_RAW && size > PIM_SMALL_MAX && size < PIM_EXTENT_BORN) {
        return pim_align_up(size + (size + PIM_LARGE_HEADER) / 8,
                            pim_os_page_size());
    }
    return size <= PIM_SMALL_MAX  ? size
           : size <= PIM_SPAN_MAX ? pim_align_up(size, PIM_UNIT_SIZE)
                                  : pim_align_up(size, pim_os_page_size());
}

// A request of the owner's is done with.
static void
served(pim_heap *heap)
{
    pim_limit_done(&heap->limit);
    pim_heap_note_peak(heap);
    pim_heap_purge_if_due(heap);
}

void *
pim_large_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    if (size > PIM_REQUEST_MAX - 2 * PIM_ARENA_SIZE) {
        return NULL; // so that sums below cannot overflow
    }
    if (pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits_or_reports(heap, domain, size,
                                     limited_bytes(domain, size))) {
        return NULL;
    }
    void *block = NULL;
    pim_gate_enter();
    if (domain != PIM_RAW || size >= PIM_EXTENT_BORN) {
        block = alloc_map(heap, domain, size, zero);
    }
    if (block == NULL) {
        block = alloc_mi(heap, domain, size, zero, 0);
    }
    served(heap);
    pim_gate_exit();
    return block;
}

// mimalloc's, whatever its size: a map for each would be too many.
void *
pim_large_alloc_marked(pim_heap *heap, unsigned domain, size_t size, bool zero,
                       uint64_t mark)
{
    if (pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits(heap, size, limited_bytes(domain, size))) {
        return NULL;
    }
    pim_gate_enter();
    void *block = alloc_mi(heap, domain, size, zero, mark);
    served(heap);
    pim_gate_exit();
    return block;
}

void *
pim_large_alloc_unowned(unsigned domain, size_t size, bool zero)
{
    if (size > PIM_REQUEST_MAX - 2 * PIM_ARENA_SIZE) {
        return NULL;
    }
    pim_gate_enter();
    void *block = alloc_mi(NULL, domain, size, zero, 0);
    pim_gate_exit();
    return block;
}

void *
pim_large_alloc_growing(pim_heap *heap, unsigned domain, size_t size)
{
    bool is_small = size < PIM_EXTENT_GROWN;
    if (size > PIM_REQUEST_MAX / 4 ||
        (is_small &&
         (pim_load_relaxed(&pim_extent_until) == 0 ||
          pim_load_relaxed(&pim_small_extents) >= PIM_SMALL_EXTENTS_MAX))) {
        return NULL;
    }
    if (pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits(heap, size, limited_bytes(domain, size))) {
        return NULL;
    }
    pim_extent map;
    void *block = NULL;
    size_t used = map_size(size);
    pim_gate_enter();
    if (pim_extent_take(&heap->idle_bytes, used,
                        is_small ? PIM_EXTENT_KEPT : PIM_EXTENT_GROWING,
                        &map)) {
        block = finish_map(heap, domain, used, &map, is_small);
        pim_add_relaxed(&pim_small_extents, is_small);
    }
    served(heap);
    pim_gate_exit();
    return block;
}

// --- free ------------------------------------------------------------------

// What is left of the map is in the figures of `heap`.
static void
give(pim_heap *heap, pim_large *large)
{
    large->cookie = 0;
    pim_heap_sample_freed(large->mark);
    if (large->kind == PIM_LARGE_MI) {
        pim_mi_free(large);
    } else {
        pim_large_settle_small(large);
        pim_extent map = pim_large_extent(large);
        pim_extent_give(&heap->idle_bytes, &map);
    }
}

static void
free_ours(pim_heap *caller, const void *block)
{
    pim_large *large = pim_large_header(block);
    if (large == NULL) {
        pim_add_relaxed(&pim_foreign_frees, 1);
        return;
    }
    bool is_nobodys = large->heap == NULL; // of mimalloc
    pim_heap *heap = is_nobodys ? NULL : account_free(caller, large);
    if (heap != NULL || is_nobodys) {
        give(heap, large);
    }
}

static bool
free_poisoned(void *block)
{
    if (PIM_LIKELY(pim_load_relaxed(&pim_poisoned_extents) == 0)) {
        return false;
    }
    pim_lock_acquire(&pim_process_lock);
    bool done = pim_poison_free_extent(block);
    pim_lock_release(&pim_process_lock);
    return done;
}

void
pim_large_free(pim_heap *heap, void *block)
{
    pim_gate_enter(); // a header that is found stays (poison_extent.c)
    if (!free_poisoned(block)) {
        free_ours(heap, block);
    }
    pim_gate_exit();
}

// --- the end of an interpreter ---------------------------------------------

static bool
poison_map(const pim_heap *heap, pim_large *large)
{
    if (large->kind == PIM_LARGE_MI) {
        return false; // others' blocks may lie beside it
    }
    pim_poisoned_block about = {.start = pim_large_block(large),
                                .bytes = large->usable,
                                .ended = heap->id,
                                .domain = large->domain,
                                .live = true};
    pim_extent map = pim_large_extent(large);
    uint64_t mark = large->mark;
    if (!pim_poison_extent(heap, &map, &about)) {
        return false;
    }
    pim_heap_sample_freed(mark);
    pim_large_settle_small(large);
    return true;
}

static void
release(pim_heap *heap, pim_large *large)
{
    pim_add_relaxed(&pim_poisoned.released_blocks, 1);
    pim_add_relaxed(&pim_poisoned.released_bytes, large->usable);
    give(heap, large);
}

bool
pim_large_condemn(pim_heap *heap)
{
    bool releases = pim_load_relaxed(&heap->policy) == PIM_RELEASE;
    bool poisons = false;
    pim_link *next;
    for (pim_link *l = heap->large_ring.next; l != &heap->large_ring;
         l = next) {
        pim_large *large = (pim_large *)l;
        next = l->next;
        if (large->domain == PIM_RAW ||
            (!releases && !poison_map(heap, large))) {
            continue;
        }
        pim_pending_add(&heap->condemned.gone[PIM_DOMAIN_INDEX(large->domain)],
                        PIM_CLASS_LARGE, large->usable);
        pim_sub_relaxed(&pim_process_heap.large_bytes, large->usable);
        pim_large_ring_remove(large);
        if (releases) {
            release(heap, large);
        } else {
            poisons = true;
        }
    }
    pim_large_hand_over(heap, &pim_process_heap);
    return poisons;
}

// --- resize ----------------------------------------------------------------

static void
account_resize(pim_heap *heap, pim_large *large, size_t usable)
{
    pim_account_resize(&heap->account[PIM_DOMAIN_INDEX(large->domain)],
                       PIM_CLASS_LARGE, large->usable, usable);
    pim_add_relaxed(&heap->large_bytes, usable - large->usable);
    large->usable = usable;
}

static void *
resize_map(pim_heap *heap, pim_large *large, size_t size)
{
    size_t used = map_size(size);
    pim_extent map = pim_large_extent(large);
    pim_large_ring_remove(large); // it may move
    if (!pim_extent_resize(&heap->idle_bytes, &map, used)) {
        pim_large_ring_add(heap, large);
        return NULL;
    }
    large = pim_large_set_extent(&map);
    pim_large_ring_add(heap, large);
    large->cookie = pim_large_cookie(pim_large_block(large));
    if (used >= PIM_EXTENT_BORN) {
        pim_large_settle_small(large);
    }
    account_resize(heap, large, used - PIM_LARGE_HEADER);
    return pim_large_block(large);
}

// Whether the block may stay as it is.  mimalloc's classes are an eighth apart,
// so one of its that was just moved may waste as much already, and would move
// again.
static bool
still_suits(const pim_large *large, size_t size)
{
    bool is_mimallocs = large->kind == PIM_LARGE_MI &&
                        (size > PIM_SMALL_MAX || large->domain != PIM_RAW);
    size_t served = is_mimallocs          ? size + (size + PIM_LARGE_HEADER) / 8
                    : size > PIM_SPAN_MAX ? map_size(size) - PIM_LARGE_HEADER
                                          : pim_size_served(size + !size);
    return size <= large->usable && pim_size_suits(large->usable, served);
}

void *
pim_large_resize(pim_heap *heap, void *block, size_t size)
{
    pim_large *large = pim_large_header(block);
    if (large == NULL || size > PIM_REQUEST_MAX / 4) {
        return NULL;
    }
    if (still_suits(large, size)) {
        return block;
    }
    if (large->kind != PIM_LARGE_MAP || !pim_large_is_owner(heap, large) ||
        (size < large->usable && size < PIM_EXTENT_GROWN / 2)) { // needs no map
        return NULL;
    }
    if (size > large->usable && pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits(
            heap, size,
            pim_align_up(size - large->usable, pim_os_page_size()))) {
        return NULL;
    }
    pim_gate_enter();
    void *resized = resize_map(heap, large, size);
    served(heap);
    pim_gate_exit();
    return resized;
}
