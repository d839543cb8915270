// heap.c -- the slow paths: where a class finds its next page, and what happens
// to a page that fills up or runs empty.
//
//            refill                    exhausted
//   new ----------------> CURRENT --------------------> FULL (in no list)
//                            ^                            |
//                  refill    |       a few frees          |
//                            +------- PARTIAL <-----------+
//                                        |
//                                        | empty, and too many are; purge
//                                        v
//                                  units back to the arena
//
// Cheapest source first: uncut blocks of the current page, blocks that others
// freed, a page of the partial list, a run of units.
//
// What changes arenas runs inside the gate, so that a fork never copies them half
// changed.  What changes lists of pages only may stay outside: in a child of a
// fork that caught it, nobody goes on with the heap, and retirement trusts the
// pages' descriptors alone (HEAP-5).

#include "heap/heap.h"

#include <string.h>

#include "heap/current.h"
#include "heap/heap_inline.h"
#include "heap/mi_blocks.h"
#include "heap/poison.h"
#include "platform/os.h"

// Slow paths between two looks at the clock.
#define PATIENCE 64

// Pages that run empty between two looks at who owns the heap.
#define LOOK_PAGES 16

// A purge_at that stands for PIM_PURGE_DELAY_MS after the next look at the clock.
#define PURGE_LATER 1

pim_page pim_empty_page;

// --- lists -----------------------------------------------------------------

void
pim_heap_insert_partial(pim_heap *heap, pim_page *page)
{
    pim_page **head = &heap->partial[PIM_SLOT(page->domain)][page->size_class];
    page->state = PIM_PAGE_PARTIAL;
    pim_page_count_down_to(page, 0);
    page->prev = NULL;
    page->next = *head;
    if (*head != NULL) {
        (*head)->prev = page;
    }
    *head = page;
}

static void
partial_remove(pim_heap *heap, pim_page *page)
{
    if (page->prev != NULL) {
        page->prev->next = page->next;
    } else {
        heap->partial[PIM_SLOT(page->domain)][page->size_class] = page->next;
    }
    if (page->next != NULL) {
        page->next->prev = page->prev;
    }
}

// Takes a page from its list to allocate from it.
static void
take_partial(pim_heap *heap, pim_page *page)
{
    if (pim_page_used(page) == 0) {
        heap->empty_units -= pim_page_units(page);
    }
    partial_remove(heap, page);
}

void
pim_heap_page_gained(pim_heap *heap, pim_page *page)
{
    if (page->state == PIM_PAGE_CURRENT) {
        return;
    }
    if (page->state == PIM_PAGE_FULL && page->size_class != PIM_CLASS_RUN) {
        pim_heap_insert_partial(heap, page);
    }
    if (pim_page_used(page) == 0) {
        if (page->state == PIM_PAGE_PARTIAL) {
            partial_remove(heap, page);
        }
        pim_heap_release_page(heap, page);
    }
}

// --- pages -----------------------------------------------------------------

static void
make_current(pim_heap *heap, unsigned slot, unsigned size_class, pim_page *page)
{
    // Larger pages tell when they run empty; see current_emptied().
    bool tells = pim_classes[size_class].units > 1;
    page->state = PIM_PAGE_CURRENT;
    pim_page_count_down_to(page, tells ? 0 : PIM_REST_NEVER);
    heap->current[slot][size_class] = page;
}

static void
make_full(pim_page *page)
{
    PIM_ASSERT(pim_page_used(page) == page->capacity);
    page->state = PIM_PAGE_FULL;
    pim_page_count_down_to(page, page->capacity - 1u - page->capacity / 32u);
}

// A page from the partial list was used at random for a while.  Its free blocks
// are put in order before it serves again: programs go through what they allocate
// in that order, and neighbours share cache lines (design.md, section 3).
static void
put_in_order(pim_page *page)
{
    if (page->free != NULL) {
        pim_page_sort(page, pim_page_start(page));
    }
}

// Takes leave of an exhausted current page.
static void
retire_current(pim_heap *heap, unsigned slot, unsigned size_class)
{
    pim_page *page = heap->current[slot][size_class];
    if (page != &pim_empty_page) {
        PIM_CHECK(pim_page_used(page) == page->capacity,
                  "a free block was written to", pim_page_start(page));
        make_full(page);
        heap->current[slot][size_class] = &pim_empty_page;
    }
}

static pim_page *
open_page(pim_heap *heap, unsigned slot, unsigned size_class)
{
    pim_page *page = pim_heap_take_run(heap, pim_classes[size_class].units);
    if (page != NULL) {
        pim_page_open(page, heap, PIM_SLOT_DOMAIN(slot), size_class);
        pim_own_add(&heap->page_count, 1);
    }
    return page;
}

static unsigned
cut(pim_heap *heap, pim_page *page)
{
    size_t from = (size_t)page->cut * page->block_size;
    unsigned n = pim_page_cut(page, pim_page_start(page), pim_page_held(page));
    if (n != 0) {
        size_t to = (size_t)page->cut * page->block_size;
        pim_heap_touch(heap, page, from, to);
    }
    return n;
}

// A page with free or uncut blocks that is in no list; NULL: no memory.
static pim_page *
find_page(pim_heap *heap, unsigned slot, unsigned size_class)
{
    pim_page **partial = &heap->partial[slot][size_class];
    if (*partial == NULL &&
        !pim_heap_has_run(heap, pim_classes[size_class].units)) {
        pim_heap_inherit(heap, pim_classes[size_class].units);
    }
    pim_page *page = *partial;
    if (page != NULL) {
        take_partial(heap, page);
        return page;
    }
    return open_page(heap, slot, size_class);
}

// Gives the class a current page with a free block.  False: no memory.
static bool
refill(pim_heap *heap, unsigned slot, unsigned size_class)
{
    pim_page *page = heap->current[slot][size_class];
    if (page != &pim_empty_page && cut(heap, page) != 0) {
        return true;
    }
    pim_heap_drain(heap);
    page = heap->current[slot][size_class]; // it may have run empty and gone
    if (page->free != NULL) {
        return true;
    }
    retire_current(heap, slot, size_class);
    page = find_page(heap, slot, size_class);
    if (page == NULL) {
        return false;
    }
    put_in_order(page);
    make_current(heap, slot, size_class, page);
    return page->free != NULL || cut(heap, page) != 0;
}

static void
trim_warm(const pim_heap *heap)
{
    if (pim_heap_is_process(heap)) {
        pim_warm_trim(false); // its owner holds the lock
        return;
    }
    pim_lock_acquire(&pim_process_lock);
    pim_warm_trim(false);
    pim_lock_release(&pim_process_lock);
}

// Slow paths drive the return of memory: the heap's own, and what is kept
// warm for others.  Reading the clock each time would cost more than the rest.
void
pim_heap_purge_if_due(pim_heap *heap)
{
    if (PIM_UNLIKELY(heap->at_peak)) {
        heap->at_peak = false;
        pim_heap_release_idle(heap);
        if (heap->idle_units >
            pim_heap_peak_step(pim_load_relaxed(&heap->dirty_units))) {
            pim_heap_purge(heap, true);
        }
    }
    if (PIM_UNLIKELY(pim_load_relaxed(&heap->trim_wanted))) {
        pim_store_relaxed(&heap->trim_wanted, false);
        pim_heap_purge(heap, true);
    }
    if (PIM_LIKELY(heap->patience-- != 0)) {
        return;
    }
    heap->patience = PATIENCE;
    uint64_t region_until = pim_load_relaxed(&pim_region_warm_until);
    uint64_t warm_until = pim_load_relaxed(&pim_warm_until);
    uint64_t maps_until = pim_load_relaxed(&pim_maps_until);
    uint64_t mi_until = pim_load_relaxed(&pim_mi_until);
    if (heap->purge_at == 0 && region_until == 0 && warm_until == 0 &&
        maps_until == 0 && mi_until == 0) {
        return;
    }
    uint64_t now = pim_os->now_ms();
    if (heap->purge_at == PURGE_LATER) {
        heap->purge_at = now + PIM_PURGE_DELAY_MS;
    }
    if (heap->purge_at != 0 && now >= heap->purge_at) {
        pim_heap_purge(heap, false);
    }
    if (region_until != 0 && now >= region_until) {
        pim_region_trim();
    }
    if (warm_until != 0 && now >= warm_until) {
        trim_warm(heap);
    }
    if (maps_until != 0 && now >= maps_until) {
        pim_maps_trim(false);
    }
    if (mi_until != 0 && now >= mi_until) {
        pim_mi_purge();
    }
}

void
pim_heap_purge_later(pim_heap *heap)
{
    if (heap->purge_at == 0) {
        heap->purge_at = PURGE_LATER;
    }
}

static void
release_empty_of(pim_heap *heap, pim_page *list)
{
    pim_page *next;
    for (pim_page *p = list; p != NULL; p = next) {
        next = p->next;
        if (pim_page_used(p) == 0) {
            take_partial(heap, p);
            pim_heap_release_page(heap, p);
        }
    }
}

// An empty page is in a partial list.
static void
count_empty(pim_heap *heap, const pim_page *page)
{
    heap->empty_units += pim_page_units(page);
    heap->may_have_empty[PIM_SLOT(page->domain)][page->size_class] = true;
}

// Releases the empty pages of the partial lists, a loop that a purge in between
// would upset (HEAP-6).
static void
release_empty(pim_heap *heap)
{
    PIM_ASSERT(heap->releasing);
    for (unsigned slot = 0; slot < PIM_SLOTS && heap->empty_units != 0;
         slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            if (heap->may_have_empty[slot][c]) {
                heap->may_have_empty[slot][c] = false;
                release_empty_of(heap, heap->partial[slot][c]);
            }
        }
    }
}

void
pim_heap_release_idle(pim_heap *heap)
{
    heap->releasing = true;
    pim_run_release_idle(heap);
    release_empty(heap);
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[slot][c];
            if (page != &pim_empty_page && pim_page_used(page) == 0) {
                heap->current[slot][c] = &pim_empty_page;
                pim_heap_release_page(heap, page);
            }
        }
    }
    heap->releasing = false;
}

// The commonest refill, and the cheapest: the current page is exhausted and
// another one has blocks.  Outside the gate (HEAP-5).
static bool
refill_from_partial(pim_heap *heap, unsigned slot, unsigned size_class)
{
    const pim_page *exhausted = heap->current[slot][size_class];
    pim_page *page = heap->partial[slot][size_class];
    if (page == NULL || page->free == NULL ||
        exhausted->cut != exhausted->capacity || heap->patience == 0 ||
        pim_load_relaxed(&heap->remote_pages) != NULL) {
        return false;
    }
    heap->patience--;
    take_partial(heap, page);
    put_in_order(page);
    retire_current(heap, slot, size_class);
    make_current(heap, slot, size_class, page);
    return true;
}

// --- near a limit ------------------------------------------------------------

// An empty page or one with room stays in its list, a full one in none.
static void
shelve(pim_heap *heap, pim_page *page)
{
    unsigned used = pim_page_used(page);
    if (used == page->capacity) {
        make_full(page);
        return;
    }
    pim_heap_insert_partial(heap, page);
    if (used == 0) {
        pim_page_set_owner(page, heap, false);
        count_empty(heap, page);
        pim_heap_purge_later(heap);
    }
}

void
pim_heap_shelve_current(pim_heap *heap)
{
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[slot][c];
            if (page != &pim_empty_page) {
                heap->current[slot][c] = &pim_empty_page;
                shelve(heap, page);
            }
        }
    }
}

// One block, from a page that does not become current.  NULL: no memory.
static void *
take_one(pim_heap *heap, unsigned slot, unsigned size_class)
{
    pim_heap_drain(heap);
    pim_page *page = find_page(heap, slot, size_class);
    if (page == NULL) {
        return NULL;
    }
    make_current(heap, slot, size_class, page);
    if (page->free == NULL) {
        cut(heap, page);
    }
    void *block = pim_heap_pop(heap, slot, size_class);
    heap->current[slot][size_class] = &pim_empty_page;
    shelve(heap, page);
    return block;
}

// With a limit: whether pages are left to the class that needs one.  If so,
// *block is NULL and the request goes on as always; else it is the answer.
static PIM_COLD bool
limit_allows_page(pim_heap *heap, unsigned slot, unsigned size_class,
                  void **block)
{
    const pim_class_info *info = &pim_classes[size_class];
    size_t page_bytes = (size_t)info->units << PIM_UNIT_SHIFT;
    *block = NULL;
    if (pim_limit_admits_page(heap, page_bytes)) {
        return true;
    }
    pim_heap_shelve_current(heap);
    if (pim_limit_admits_page(heap, page_bytes)) {
        return true;
    }
    if (!pim_limit_admits_or_reports(heap, PIM_SLOT_DOMAIN(slot),
                                     info->block_size, info->block_size)) {
        return false;
    }
    pim_gate_enter();
    *block = take_one(heap, slot, size_class);
    pim_limit_done(&heap->limit);
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
    return *block == NULL; // no memory, which is no matter of the limit
}

PIM_NOINLINE void *
pim_heap_alloc_slow(pim_heap *heap, unsigned slot, unsigned size_class)
{
    void *block = NULL;
    if (PIM_UNLIKELY(heap->patience == 0) && heap->id != PIM_PROCESS_ID) {
        pim_current_look_again(heap);
    }
    if (pim_limit_is_set(&heap->limit)) {
        if (!limit_allows_page(heap, slot, size_class, &block)) {
            return block;
        }
        // What others freed was taken over, and may have come to the current page,
        // which all that follows takes to be exhausted.
        block = pim_heap_pop(heap, slot, size_class);
        if (block != NULL) {
            return block;
        }
    }
    if (PIM_LIKELY(refill_from_partial(heap, slot, size_class))) {
        return pim_heap_pop(heap, slot, size_class);
    }
    pim_gate_enter();
    if (refill(heap, slot, size_class)) {
        block = pim_heap_pop(heap, slot, size_class);
    }
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
    return block;
}

// Of the larger current pages, the last few that ran empty stay for the next
// request of their class; what was empty before them goes.  Places are kept, not
// pages, which may be another heap's by now.
static void
current_emptied(pim_heap *heap, const pim_page *page)
{
    pim_page **place = &heap->current[PIM_SLOT(page->domain)][page->size_class];
    for (unsigned i = 0; i < PIM_EMPTY_CURRENT; i++) {
        if (heap->emptied[i] == place) {
            return;
        }
    }
    pim_page ***next = &heap->emptied[heap->next_emptied++ % PIM_EMPTY_CURRENT];
    pim_page **before = *next;
    *next = place;
    pim_page *old = before != NULL ? *before : &pim_empty_page;
    if (old != &pim_empty_page && pim_page_used(old) == 0) {
        *before = &pim_empty_page;
        pim_gate_enter();
        pim_heap_release_page(heap, old);
        pim_gate_exit();
    }
}

// An empty page stays in its list: its class is likely to need it again, and to
// open and close pages costs more than all else.  Its blocks were freed in some
// order, so they are cut anew.
static void
partial_emptied(pim_heap *heap, pim_page *page)
{
    pim_page_start_over(page);
    pim_page_set_owner(page, heap, false); // the last leftover is gone, too
    count_empty(heap, page);
    if (heap->emptied_pages++ % LOOK_PAGES == 0 && heap->id != PIM_PROCESS_ID) {
        pim_current_look_again(heap); // an interpreter may be ending
    }
    pim_heap_purge_later(heap);
    if (heap->empty_units >
        PIM_EMPTY_UNITS + heap->used_units / PIM_EMPTY_SHARE) {
        pim_gate_enter();
        heap->releasing = true;
        release_empty(heap);
        heap->releasing = false;
        pim_heap_limit_idle(heap);
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
    if (page->size_class == PIM_CLASS_RUN) {
        pim_run_freed(heap, page);
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

void
pim_heap_open(pim_heap *heap)
{
    memset(heap, 0, offsetof(pim_heap, serial));
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            heap->current[slot][c] = &pim_empty_page;
        }
    }
    pim_ring_open(&heap->large_ring);
}

void
pim_process_heap_init(void)
{
    pim_heap *process = &pim_process_heap;
    if (pim_load_relaxed(&process->serial) == 0) {
        pim_heap_open(process);
        process->id = PIM_PROCESS_ID;
        strcpy(process->name, "pimalloc:process");
        pim_fatal_describe = pim_heap_describe;
        pim_void_heap.id = PIM_PROCESS_ID;
        pim_store_release(&process->serial, 1);
    }
}
