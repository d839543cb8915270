// audit.c -- checks every page, list and counter of a heap, for tests.

#include "heap/audit.h"

#include "abandoned/retained.h"
#include "arena/arena_set.h"
#include "extent/extent.h"

// What the heap's counters should say.
typedef struct sums {
    uint64_t arenas;
    uint64_t dense;
    uint64_t pages;
    uint64_t used;
    uint64_t idle;
    uint64_t dirty;
    unsigned idle_spans;
} sums;

static void
audit_arena(const pim_heap *heap, const pim_arena_set *set,
            const pim_arena *arena, sums *sum)
{
    sum->arenas++;
    sum->dense += arena->dense;
    sum->used += pim_arena_used_units(arena);
    sum->idle += pim_arena_idle_units(arena);
    sum->dirty += pim_arena_dirty_units(arena);
    PIM_CHECK(pim_load_relaxed(&arena->set) == set &&
                  arena->list == pim_arena_list_for(arena),
              "an arena is in the wrong list", arena);
    PIM_CHECK(arena->retained_bytes == 0 || arena->list == PIM_LIST_ABANDONED,
              "RETAINED-1: an arena is retained that nobody can reclaim",
              arena);
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        const pim_page *page = first + unit;
        bool is_free = (arena->free.word[unit / 64] >> unit % 64 & 1) != 0;
        bool tagged;
        if (page->state == PIM_PAGE_IDLE) {
            sum->idle_spans += pim_page_units(page);
            sum->pages++;
        }
        PIM_CHECK(!is_free || (page->state == PIM_PAGE_UNUSED &&
                               page->offset_units == 0),
                  "ARENA-2: the descriptor of a free unit is in use", page);
        if (page->state != PIM_PAGE_UNUSED &&
            page->state != PIM_PAGE_ABANDONED &&
            pim_page_owner(page, &tagged) == heap) {
            sum->pages++;
            pim_page_audit(page, pim_page_start(page),
                           pim_page_orphans_or_null(page));
        }
    }
}

static sums
audit_set(const pim_heap *heap, const pim_arena_set *set)
{
    sums sum = {0};
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        for (pim_arena *a = set->list[list]; a != NULL; a = a->next) {
            audit_arena(heap, set, a, &sum);
        }
    }
    PIM_CHECK(pim_load_relaxed(&set->arenas) == sum.arenas &&
                  set->dense == sum.dense,
              "the count of arenas is wrong", set);
    PIM_CHECK(set->used_units == sum.used && set->idle_units == sum.idle &&
                  pim_load_relaxed(&set->dirty_units) == sum.dirty,
              "a count of units is wrong", set);
    return sum;
}

void
pim_heap_audit(pim_heap *heap)
{
    sums sum = audit_set(heap, &heap->arenas);
    unsigned empty_units = 0;
    for (const pim_page *page = heap->idle.units; page != NULL;
         page = page->next) {
        PIM_CHECK(page->state == PIM_PAGE_IDLE &&
                      pim_load_relaxed(&page->owner) == 0 &&
                      pim_page_used(page) == 0 && pim_page_units(page) == 1,
                  "SPAN-1: an idle unit is none", page);
        empty_units++;
    }
    PIM_CHECK(heap->idle.span_units + empty_units == sum.idle_spans,
              "the count of idle spans' units is wrong", heap);
    PIM_CHECK(pim_load_relaxed(&heap->page_count) == sum.pages,
              "the count of pages is wrong", heap);
    if (pim_heap_is_process(heap)) { // whose lock guards this set, too
        audit_set(heap, &pim_abandoned_arenas);
    }
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[domain_index][c];
            PIM_CHECK(page == &pim_empty_page ||
                          page->state == PIM_PAGE_CURRENT,
                      "HEAP-2: a current page is not one", page);
            for (page = heap->partial[domain_index][c]; page != NULL;
                 page = page->next) {
                PIM_CHECK(page->state == PIM_PAGE_PARTIAL &&
                              pim_page_used(page) < page->capacity,
                          "a page is in the partial list and is not", page);
                if (pim_page_used(page) == 0) {
                    empty_units += pim_page_units(page);
                }
            }
        }
    }
    PIM_CHECK(empty_units == heap->idle.empty_units,
              "the count of empty units is wrong", heap);
    pim_extent_audit(&heap->idle_bytes);
}
