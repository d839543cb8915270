// page_list.c -- the pages of a heap by class: one to allocate from, others in
// lists.
//
//            refill                    exhausted
//   new ----------------> CURRENT --------------------> FULL (in no list)
//                            ^                            |
//                  refill    |       a few frees          |
//                            +------- PARTIAL <-----------+
//                                        |
//        a page of another class         | empty
//   new <-------------- IDLE <-----------+ (one unit; larger ones stay PARTIAL)
//                                        |
//                                        | too many are; purge
//                                        v
//                                  units back to the arena

#include "heap/page_list.h"

#include "arena/arena_set.h"

void
pim_heap_insert_partial(pim_heap *heap, pim_page *page)
{
    pim_page **head =
        &heap->partial[PIM_DOMAIN_INDEX(page->domain)][page->size_class];
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
        heap->partial[PIM_DOMAIN_INDEX(page->domain)][page->size_class] =
            page->next;
    }
    if (page->next != NULL) {
        page->next->prev = page->prev;
    }
}

// Takes a page from its list to allocate from it.
void
pim_page_list_take(pim_heap *heap, pim_page *page)
{
    unsigned units = pim_page_units(page);
    if (units > 1 && pim_page_used(page) == 0) {
        heap->idle.empty_units -= units;
    }
    partial_remove(heap, page);
}

// Units of the arena were freed.  The process heap has no clock of its own.
static void
purge_when_due(pim_heap *heap, pim_arena *arena)
{
    if (pim_heap_is_process(heap)) {
        size_t bytes = 0;
        pim_arena_set_purge_arena(&heap->arenas, arena, true, &bytes);
    } else {
        pim_heap_purge_later(heap);
    }
}

void
pim_page_list_set_idle(pim_heap *heap, pim_page *page)
{
    pim_page_start_over(page);
    page->next = heap->idle.units;
    heap->idle.units = page;
    heap->idle.empty_units++;
    page->state = PIM_PAGE_IDLE;
    pim_store_release(&page->owner, 0);
}

pim_page *
pim_page_list_take_idle(pim_heap *heap)
{
    pim_page *page = heap->idle.units;
    if (page != NULL) {
        heap->idle.units = page->next;
        heap->idle.empty_units--;
    }
    return page;
}

void
pim_heap_free_units(pim_heap *heap, pim_page *first, unsigned units)
{
    pim_arena_set_free_units(&heap->arenas, first, units);
    purge_when_due(heap, pim_arena_of(first));
}

void
pim_heap_release_page(pim_heap *heap, pim_page *page)
{
    pim_arena *arena = pim_arena_of(page);
    pim_own_sub(&heap->page_count, 1);
    pim_arena_set_free_page(&heap->arenas, page);
    purge_when_due(heap, arena);
}

void
pim_heap_page_gained(pim_heap *heap, pim_page *page)
{
    if (page->state == PIM_PAGE_CURRENT) {
        return;
    }
    if (page->state == PIM_PAGE_FULL && page->size_class != PIM_CLASS_SPAN) {
        pim_heap_insert_partial(heap, page);
    }
    if (pim_page_used(page) == 0) {
        if (page->state == PIM_PAGE_PARTIAL) {
            partial_remove(heap, page);
        }
        pim_heap_release_page(heap, page);
    }
}

// --- current pages ---------------------------------------------------------

void
pim_page_list_make_current(pim_heap *heap, unsigned domain_index,
                           unsigned size_class, pim_page *page)
{
    // Larger pages tell when they run empty; see current_emptied().
    bool tells = pim_classes[size_class].units > 1;
    page->state = PIM_PAGE_CURRENT;
    pim_page_count_down_to(page, tells ? 0 : PIM_REST_NEVER);
    heap->current[domain_index][size_class] = page;
}

static void
make_full(pim_page *page)
{
    PIM_ASSERT(pim_page_used(page) == page->capacity);
    page->state = PIM_PAGE_FULL;
    pim_page_count_down_to(page, page->capacity - 1u - page->capacity / 32u);
}

// Takes leave of an exhausted current page.
void
pim_page_list_retire_current(pim_heap *heap, unsigned domain_index,
                             unsigned size_class)
{
    pim_page *page = heap->current[domain_index][size_class];
    if (page != &pim_empty_page) {
        PIM_CHECK(pim_page_used(page) == page->capacity,
                  "a free block was written to", pim_page_start(page));
        make_full(page);
        heap->current[domain_index][size_class] = &pim_empty_page;
    }
}

unsigned
pim_page_list_carve(pim_heap *heap, pim_page *page)
{
    size_t from = (size_t)page->carved * page->block_size;
    unsigned n = pim_page_carve(page, pim_page_start(page),
                                pim_page_orphans_or_null(page));
    if (n != 0) {
        size_t to = (size_t)page->carved * page->block_size;
        pim_heap_touch(heap, page, from, to);
    }
    return n;
}

// --- out of use ------------------------------------------------------------

// An empty page is in a partial list.
void
pim_page_list_count_empty(pim_heap *heap, const pim_page *page)
{
    heap->idle.empty_units += pim_page_units(page);
    heap->idle
        .may_have_empty[PIM_DOMAIN_INDEX(page->domain)][page->size_class] =
        true;
}

void
pim_page_list_shelve(pim_heap *heap, pim_page *page)
{
    unsigned used = pim_page_used(page);
    if (used == page->capacity) {
        make_full(page);
        return;
    }
    if (used != 0) {
        pim_heap_insert_partial(heap, page);
        return;
    }
    if (pim_page_units(page) == 1) {
        pim_page_list_set_idle(heap, page);
    } else {
        pim_heap_insert_partial(heap, page);
        pim_page_set_owner(page, heap, false);
        pim_page_list_count_empty(heap, page);
    }
    pim_heap_purge_later(heap);
}

void
pim_heap_shelve_current(pim_heap *heap)
{
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[domain_index][c];
            if (page != &pim_empty_page) {
                heap->current[domain_index][c] = &pim_empty_page;
                pim_page_list_shelve(heap, page);
            }
        }
    }
}
