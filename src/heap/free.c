// free.c -- what becomes of a block: its page, and what happens when that runs
// empty.
//
// What changes lists of pages only may stay outside of the gate: in a child of
// a fork that caught it, nobody goes on with the heap, and retirement trusts
// the pages' descriptors alone (HEAP-5).

#include "heap/free.h"

#include "abandoned/poison.h"
#include "arena/arena_set.h"
#include "heap/idle.h"
#include "heap/page_list.h"
#include "heap/purge.h"
#include "heap/remote.h"

// Pages that run empty between two looks at who owns the heap.
#define LOOK_PAGES 16

// Of the larger current pages, the last few that ran empty stay for the next
// request of their class; what was empty before them goes.  Places are kept,
// not pages, which may be another heap's by now.
static void
current_emptied(pim_heap *heap, const pim_page *page)
{
    pim_page **place =
        &heap->current[PIM_DOMAIN_INDEX(page->domain)][page->size_class];
    for (unsigned i = 0; i < PIM_EMPTY_CURRENT; i++) {
        if (heap->idle.emptied[i] == place) {
            return;
        }
    }
    pim_page ***next =
        &heap->idle.emptied[heap->idle.next_emptied++ % PIM_EMPTY_CURRENT];
    pim_page **before = *next;
    *next = place;
    pim_page *old = before != NULL ? *before : &pim_empty_page;
    if (old != &pim_empty_page && pim_page_used(old) == 0) {
        *before = &pim_empty_page;
        pim_gate_enter();
        pim_heap_release_page(heap, old);
        pim_heap_purge_if_due(heap);
        pim_gate_exit();
    }
}

// A page of one unit that ran empty is for any class, so that none touches new
// memory while another one has some to spare.  A larger one stays in its list:
// small pages would settle in it, and long spans be hard to find.  Its blocks
// were freed in some order, so they are carved anew.
static void
partial_emptied(pim_heap *heap, pim_page *page)
{
    if (pim_page_units(page) == 1) {
        pim_page_list_take(heap, page);
        pim_page_list_set_idle(heap, page);
    } else {
        pim_page_start_over(page);
        pim_page_set_owner(page, heap, false); // the last orphan is gone, too
        pim_page_list_count_empty(heap, page);
    }
    if (heap->idle.emptied_pages++ % LOOK_PAGES == 0 &&
        heap->id != PIM_PROCESS_ID) {
        pim_heap_look_again(heap); // an interpreter may be ending
    }
    pim_heap_purge_later(heap);
    if (heap->idle.empty_units >
        PIM_EMPTY_UNITS + heap->arenas.used_units / PIM_EMPTY_SHARE) {
        pim_gate_enter();
        pim_heap_release_empty(heap);
        pim_heap_purge_if_due(heap);
        pim_gate_exit();
    }
}

// Of a page's blocks the one that was just freed is at hand.
static void
check_freed(const pim_page *page)
{
    const pim_block *block = page->free;
    PIM_CHECK(block->next != block && pim_page_used(page) < page->capacity,
              "a block was freed twice", block);
}

static void
span_freed(pim_heap *heap, pim_page *page)
{
    unsigned units = pim_page_units(page);
    PIM_CHECK((char *)page->free == pim_page_start(page),
              "free of an address inside a block", page->free);
    // All else was counted when the block was pushed.
    pim_account_take_varied(&heap->account[PIM_DOMAIN_INDEX(page->domain)],
                            PIM_CLASS_SPAN, page->block_size);
    if (heap->idle.spans[units] != NULL ||
        heap->idle.span_units + units > PIM_IDLE_SPAN_UNITS ||
        pim_heap_is_process(heap)) { // nobody would purge it
        pim_gate_enter();
        pim_heap_release_page(heap, page);
        pim_heap_purge_if_due(heap);
        pim_gate_exit();
        return;
    }
    heap->idle.spans[units] = page;
    heap->idle.span_units += units;
    page->free = NULL;
    page->carved = 0;
    page->state = PIM_PAGE_IDLE;
    pim_store_release(&page->owner, 0);
    pim_heap_purge_later(heap);
}

PIM_NOINLINE void
pim_heap_free_slow(pim_heap *heap, pim_page *page)
{
    check_freed(page);
    if (page->state == PIM_PAGE_CURRENT) {
        current_emptied(heap, page);
        return;
    }
    if (PIM_LIKELY(page->state == PIM_PAGE_FULL && page->capacity > 1)) {
        pim_heap_insert_partial(heap, page); // outside the gate (HEAP-5)
        return;
    }
    if (page->size_class == PIM_CLASS_SPAN) {
        span_freed(heap, page);
        return;
    }
    if (page->state == PIM_PAGE_PARTIAL && !pim_heap_is_process(heap)) {
        partial_emptied(heap, page);
        return;
    }
    pim_gate_enter();
    pim_heap_page_gained(heap, page);
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
}

// --- pages of ended interpreters -------------------------------------------

// A block of the page is gone from the account of the process, whose lock is
// held.
static void
uncount_orphan(const pim_page *page)
{
    pim_account_remove(
        &pim_process_heap.account[PIM_DOMAIN_INDEX(page->domain)],
        page->size_class, page->block_size);
}

static void
uncount_orphan_locked(const pim_page *page)
{
    pim_lock_acquire(&pim_process_lock);
    uncount_orphan(page);
    pim_lock_release(&pim_process_lock);
}

// Of a page that no heap has.  Under the lock of the process heap.
static void
defunct_free(pim_page *page, void *block)
{
    if (page->state != PIM_PAGE_ABANDONED) {
        pim_poison_free(page, block);
        return;
    }
    uncount_orphan(page);
    pim_page_give(page, pim_page_start(page), pim_page_orphans(page), block);
    pim_abandoned_gained(page);
}

static PIM_COLD void
free_orphan(pim_heap *heap, pim_page *page, void *block)
{
    pim_gate_enter();
    uncount_orphan_locked(page);
    pim_page_give(page, pim_page_start(page), pim_page_orphans(page), block);
    pim_heap_page_gained(heap, page);
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
}

void
pim_heap_free_reclaimed(pim_heap *heap, pim_page *page, void *block)
{
    size_t granule = pim_block_granule(pim_page_start(page), block);
    if (PIM_LIKELY(!pim_block_set_has(pim_page_orphans(page), granule))) {
        pim_heap_push(heap, page, PIM_DOMAIN_INDEX(page->domain), block);
    } else {
        free_orphan(heap, page, block);
    }
}

// --- frees by others -------------------------------------------------------

// Counts the block as gone from the account that it is in.
static void
account_free(pim_heap *heap, pim_page *page, bool is_orphan)
{
    if (is_orphan) {
        uncount_orphan_locked(page);
    } else {
        pim_pending_add(&heap->remote.pending[PIM_DOMAIN_INDEX(page->domain)],
                        page->size_class, page->block_size);
        pim_add_relaxed(&heap->remote.frees, 1);
    }
}

// Frees a block of a page that the lock of the process heap guards.  Returns
// NULL, or the heap that has the page by now: a reclaimer may have taken it
// while we waited for the lock.
static pim_heap *
free_locked(pim_page *page, void *block, bool *tagged)
{
    pim_lock_acquire(&pim_process_lock);
    pim_heap *heap = pim_page_owner(page, tagged);
    if (heap == &pim_defunct_heap) {
        defunct_free(page, block);
        heap = NULL;
    } else if (pim_heap_is_process(heap)) {
        pim_heap_push(heap, page, PIM_DOMAIN_INDEX(page->domain), block);
        heap = NULL;
    }
    pim_lock_release(&pim_process_lock);
    return heap;
}

PIM_COLD void
pim_heap_free_remote(pim_page *page, void *block)
{
    bool tagged;
    pim_gate_enter();
    pim_heap *heap = pim_page_owner(page, &tagged);
    PIM_CHECK(heap != NULL, "free of an address that is not a live block",
              block);
    char *start = pim_page_start(page);
    size_t offset = (size_t)((char *)block - start);
    PIM_CHECK(offset % page->block_size == 0,
              "free of an address inside a block", block);
    PIM_CHECK(offset / page->block_size < page->capacity,
              "free of an address behind a page's blocks", block);
    if (heap == &pim_defunct_heap || pim_heap_is_process(heap)) {
        heap = free_locked(page, block, &tagged);
    }
    if (heap != NULL) {
        bool is_orphan =
            tagged && pim_block_set_has(pim_page_orphans(page),
                                        pim_block_granule(start, block));
        account_free(heap, page, is_orphan);
        if (pim_page_push_remote(page, block)) {
            pim_heap_announce(heap, page);
        }
    }
    pim_gate_exit();
}
