// retire.c -- what becomes of an interpreter's memory when it ends.
//
// Empty arenas go back to the region.  A page that still holds a live block is
// abandoned: late frees into it work (policy `keep`), the process answers for
// its blocks, and of its memory only the system pages with a live block stay, at
// once or when nobody reclaimed it in time (retained.c).  Or it is condemned:
// its memory goes in step 3 (policies `poison` and `release`, poison.c).  Raw
// blocks are always kept, for CPython hands them from one interpreter to
// another and to the runtime.  Non-owners may be in the middle of freeing a
// block:
//
//   1  under the process heap's lock: drain; pages and accounts move over.
//      From here on a free finds the defunct heap and waits for the lock.
//      A page may be reclaimed at once, with pushes still to come (reclaim.c).
//   2  pim_gate_synchronize(): frees that found the old owner are done.
//   3  under the lock again: drain what those pushed.  Now nothing refers to
//      the record, and lives.c may recycle it; or, if maps are poisoned:
//   4  pim_gate_synchronize() again, and their memory goes.
//
// Each step is one stay inside the gate, and what is done is noted in the heap
// (heap->retiring).  So a fork falls between steps, and in the child, where the
// thread that did the first is gone and everybody is outside, the others follow
// at once (endings.c).

#include "interp/retire.h"

#include "abandoned/poison_extent.h"
#include "abandoned/retained.h"
#include "arena/arena_set.h"
#include "arena/region.h"
#include "extent/mi_blocks.h"
#include "heap/large.h"
#include "heap/purge.h"
#include "heap/remote.h"

_Atomic(const pim_end_watch *) pim_end_watcher;

// One page changes hands, or goes away if it is empty.
static void
hand_over_page(pim_heap *heap, pim_arena *arena, pim_page *page)
{
    pim_own_sub(&heap->page_count, 1);
    if (pim_page_used(page) == 0) {
        pim_arena_free_span(arena, page, pim_page_units(page));
        return;
    }
    bool tagged;
    pim_page_owner(page, &tagged);
    if (!tagged && page->domain != PIM_RAW && !pim_heap_keeps(heap)) {
        pim_condemn_page(&heap->condemned, page, heap->id,
                         pim_load_relaxed(&heap->policy), &pim_defunct_heap);
        return;
    }
    pim_abandon_page(page, tagged, &pim_defunct_heap);
}

static void
hand_over_arena(pim_heap *heap, pim_arena *arena)
{
    pim_page *first = pim_arena_pages(arena);
    pim_arena_set_lose(&heap->arenas, arena);
    pim_arena_take_returned(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        pim_page *page = first + unit;
        bool tagged;
        if (page->state == PIM_PAGE_IDLE ||
            (page->state != PIM_PAGE_UNUSED &&
             pim_page_owner(page, &tagged) == heap)) {
            hand_over_page(heap, arena, page);
        }
    }
    if (pim_arena_is_empty(arena)) {
        pim_region_give(arena);
        return;
    }
    pim_retained_take_arena(arena);
}

// The process answers for what is left and not condemned.
static void
hand_over_accounts(pim_heap *heap)
{
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        pim_account_add_live(&pim_process_heap.account[domain_index],
                             &heap->account[domain_index]);
    }
}

static void
hand_over_large(pim_heap *heap)
{
    pim_add_relaxed(&pim_process_heap.large_bytes,
                    pim_exchange(&heap->large_bytes, 0));
}

// Returns what a watch saw.
static void *
hand_over(pim_heap *heap, const pim_end_watch *watch)
{
    pim_store_release(&heap->serial, 0);
    pim_heap_drain(heap);
    void *seen = watch != NULL ? watch->observe(heap) : NULL;
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            heap->current[domain_index][c] = &pim_empty_page;
            heap->partial[domain_index][c] = NULL;
        }
    }
    pim_heap_give_up_credit(heap);
    heap->idle = (pim_idle){0};
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        while (heap->arenas.list[list] != NULL) {
            hand_over_arena(heap, heap->arenas.list[list]);
        }
    }
    if (pim_heap_keeps(heap)) {
        pim_large_hand_over(heap, &pim_process_heap);
        hand_over_accounts(heap);
    }
    hand_over_large(heap);
    return seen;
}

// What was pushed while the pages changed hands.
static void
fold_late(pim_heap *heap)
{
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        pim_account_subtract(&pim_process_heap.account[domain_index],
                             &heap->remote.pending[domain_index]);
    }
    pim_heap_drain(heap);
}

// What is condemned is known exactly only now: a block may have been counted as
// freed before it was pushed.  Returns whether maps are to be poisoned.
static bool
fold_condemned(pim_heap *heap)
{
    pim_heap_drain(heap);
    bool maps = pim_large_condemn(heap);
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        pim_account_subtract(&pim_process_heap.account[domain_index],
                             &heap->condemned.gone[domain_index]);
    }
    hand_over_accounts(heap);
    pim_condemned_finish(&heap->condemned, pim_load_relaxed(&heap->policy));
    return maps;
}

void *
pim_retire_begin(pim_heap *heap, const pim_end_watch *watch)
{
    pim_lock_acquire(&pim_process_lock);
    void *seen = hand_over(heap, watch);
    heap->retiring = PIM_RETIRE_HANDED_OVER;
    pim_lock_release(&pim_process_lock);
    return seen;
}

// Whether there is a step 4.
static bool
settle(pim_heap *heap)
{
    bool poisons_maps = false;
    if (pim_heap_keeps(heap)) {
        fold_late(heap);
    } else {
        poisons_maps = fold_condemned(heap);
    }
    hand_over_large(heap); // freed meanwhile: subtracted here, not there
    pim_extent_drop(&heap->idle_bytes);
    return poisons_maps;
}

bool
pim_retire_go_on(pim_heap *heap)
{
    pim_lock_acquire(&pim_process_lock);
    bool more = false;
    if (heap->retiring == PIM_RETIRE_HANDED_OVER) {
        more = settle(heap);
    } else {
        pim_poison_extents_finish(heap);
    }
    heap->retiring = more ? PIM_RETIRE_SETTLED : PIM_RETIRE_NOT;
    pim_lock_release(&pim_process_lock);
    if (!more && pim_load_relaxed(&pim_mi_until) != 0) {
        pim_mi_purge();
    }
    return more;
}
