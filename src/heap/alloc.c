// alloc.c -- where a class finds its next page.
//
// Cheapest source first: uncarved blocks of the current page, blocks that
// others freed, a page of the partial list, a span.
//
// What changes arenas runs inside the gate, so that a fork never copies them
// half changed.

#include "heap/alloc.h"

#include "arena/arena_set.h"
#include "heap/admit.h"
#include "heap/free.h"
#include "heap/grow.h"
#include "heap/large.h"
#include "heap/page_list.h"
#include "heap/purge.h"
#include "heap/reclaim.h"
#include "heap/remote.h"
#include "heap/sampled.h"
#include "platform/os.h"

// A page from the partial list was used at random for a while.  Its free blocks
// are put in order before it serves again: programs go through what they
// allocate in that order, and neighbours share cache lines (design.md, section
// 3).  Few free blocks are no neighbours, and to read their links costs more.
static void
put_in_order(pim_page *page)
{
    if (page->free != NULL &&
        pim_page_used(page) <=
            page->capacity - page->capacity / PIM_ORDER_SHARE) {
        pim_page_sort(page, pim_page_start(page));
    }
}

// A class that has filled so many pages is likely to fill the next one.
#define FILLED_PAGES 4

static bool
fills_pages(const pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    return !pim_heap_is_process(heap) && // whose account has orphans, too
           pim_account_live_blocks(&heap->account[domain_index], size_class) >=
               FILLED_PAGES * (uint64_t)pim_classes[size_class].capacity;
}

// The page's memory comes at once: to fault it in piecemeal costs more.  Not if
// some of it is there already, which in a forked child may be shared.
static void
populate(pim_heap *heap, pim_page *page)
{
    unsigned units = pim_page_units(page);
    size_t bytes = (size_t)units << PIM_UNIT_SHIFT;
    if (pim_arena_dirty(pim_arena_of(page), page, units) == 0) {
        pim_heap_touch(heap, page, 0, bytes);
        pim_os->populate(pim_page_start(page), bytes);
    }
}

static pim_page *
take_partial(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    pim_page *page = heap->partial[domain_index][size_class];
    if (page != NULL) {
        pim_page_list_take(heap, page);
    }
    return page;
}

// A unit that ran empty serves any class, before more memory is used.
static pim_page *
open_page(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    unsigned units = pim_classes[size_class].units;
    pim_page *page = units == 1 ? pim_page_list_take_idle(heap) : NULL;
    if (page == NULL) {
        page = pim_heap_take_span(heap, units);
        pim_own_add(&heap->page_count, page != NULL);
    }
    if (page != NULL) {
        pim_page_open(page, heap, PIM_INDEX_DOMAIN(domain_index), size_class);
    }
    return page;
}

// A page with free or uncarved blocks that is in no list; NULL: no memory.
static pim_page *
find_page(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    unsigned units = pim_classes[size_class].units;
    pim_page *page = take_partial(heap, domain_index, size_class);
    if (page == NULL && (units > 1 || heap->idle.units == NULL) &&
        !pim_arena_set_has_span(&heap->arenas, units) &&
        pim_heap_reclaim(heap, units)) {
        page = take_partial(heap, domain_index, size_class); // reclaimed
    }
    return page != NULL ? page : open_page(heap, domain_index, size_class);
}

// Gives the class a current page with a free block.  False: no memory.
static bool
refill(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    pim_page *page = heap->current[domain_index][size_class];
    if (page != &pim_empty_page && pim_page_list_carve(heap, page) != 0) {
        return true;
    }
    pim_heap_drain(heap);
    page = heap->current[domain_index]
                        [size_class]; // it may have run empty and gone
    if (page->free != NULL) {
        return true;
    }
    pim_page_list_retire_current(heap, domain_index, size_class);
    page = find_page(heap, domain_index, size_class);
    if (page == NULL) {
        return false;
    }
    if (page->carved == 0 && fills_pages(heap, domain_index, size_class)) {
        populate(heap, page);
    }
    put_in_order(page);
    pim_page_list_make_current(heap, domain_index, size_class, page);
    return page->free != NULL || pim_page_list_carve(heap, page) != 0;
}

// The commonest refill, and the cheapest: the current page is exhausted and
// another one has blocks.  Outside the gate (HEAP-5).
static bool
refill_from_partial(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    const pim_page *exhausted = heap->current[domain_index][size_class];
    pim_page *page = heap->partial[domain_index][size_class];
    if (page == NULL || page->free == NULL ||
        exhausted->carved != exhausted->capacity ||
        heap->purge.calls_until_clock == 0 ||
        pim_load_relaxed(&heap->remote.pages) != NULL) {
        return false;
    }
    heap->purge.calls_until_clock--;
    pim_page_list_take(heap, page);
    put_in_order(page);
    pim_page_list_retire_current(heap, domain_index, size_class);
    pim_page_list_make_current(heap, domain_index, size_class, page);
    return true;
}

// --- near a limit ----------------------------------------------------------

// One block, from a page that does not become current.  NULL: no memory.
static void *
take_one(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    pim_heap_drain(heap);
    pim_page *page = find_page(heap, domain_index, size_class);
    if (page == NULL) {
        return NULL;
    }
    pim_page_list_make_current(heap, domain_index, size_class, page);
    if (page->free == NULL) {
        pim_page_list_carve(heap, page);
    }
    void *block = pim_heap_pop(heap, domain_index, size_class);
    heap->current[domain_index][size_class] = &pim_empty_page;
    pim_page_list_shelve(heap, page);
    return block;
}

// With a limit: whether pages are left to the class that needs one.  If so,
// *block is NULL and the request goes on as always; else it is the answer.
static PIM_COLD bool
limit_allows_page(pim_heap *heap, unsigned domain_index, unsigned size_class,
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
    if (!pim_limit_admits_or_reports(heap, PIM_INDEX_DOMAIN(domain_index),
                                     info->block_size, info->block_size)) {
        return false;
    }
    pim_gate_enter();
    *block = take_one(heap, domain_index, size_class);
    pim_limit_done(&heap->limit);
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
    return *block == NULL; // no memory, which is no matter of the limit
}

// --- requests --------------------------------------------------------------

// A block that is sampled, or another one in its place.  Outside the gate.
static PIM_COLD void *
sample(pim_heap *heap, unsigned domain_index, size_t bytes, void *block)
{
    unsigned domain = PIM_INDEX_DOMAIN(domain_index);
    uint64_t mark = pim_heap_take_sample(heap, domain, bytes, 0);
    if (mark == 0) {
        return block;
    }
    void *marked = pim_large_alloc_marked(heap, domain, bytes, false, mark);
    if (marked == NULL) {
        pim_heap_sample_freed(mark);
        return block;
    }
    pim_heap_push(heap, pim_page_of(block), domain_index, block);
    return marked;
}

void *
pim_heap_look(pim_heap *heap, unsigned domain_index, size_t size_class,
              void *block)
{
    pim_account *account = &heap->account[domain_index];
    pim_heap_purge_handed(heap, pim_account_look(account, size_class));
    return pim_account_sample_is_due(account, 0) && !pim_gate_is_inside()
               ? sample(heap, domain_index, pim_classes[size_class].block_size,
                        block)
               : block;
}

static void *
alloc(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    void *block = NULL;
    if (PIM_UNLIKELY(heap->purge.calls_until_clock == 0) &&
        heap->id != PIM_PROCESS_ID) {
        pim_heap_look_again(heap);
    }
    if (pim_limit_is_set(&heap->limit)) {
        if (!limit_allows_page(heap, domain_index, size_class, &block)) {
            return block;
        }
        // What others freed was taken over, and may have come to the current
        // page, which all that follows takes to be exhausted.
        block = pim_heap_pop(heap, domain_index, size_class);
        if (block != NULL) {
            return block;
        }
    }
    if (PIM_LIKELY(refill_from_partial(heap, domain_index, size_class))) {
        return pim_heap_pop(heap, domain_index, size_class);
    }
    pim_gate_enter();
    if (refill(heap, domain_index, size_class)) {
        block = pim_heap_pop(heap, domain_index, size_class);
    }
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
    return block;
}

PIM_NOINLINE void *
pim_heap_alloc_slow(pim_heap *heap, unsigned domain_index, unsigned size_class)
{
    void *block = alloc(heap, domain_index, size_class);
    pim_account *account = &heap->account[domain_index];
    pim_account_look_at_class(account, size_class);
    if (pim_account_sample_is_due(account, 0) && block != NULL &&
        !pim_gate_is_inside()) {
        block = sample(heap, domain_index, pim_classes[size_class].block_size,
                       block);
    }
    return block;
}
