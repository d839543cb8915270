// walk.c -- all live blocks of a heap, one by one.
//
//   arenas' descriptors --owner is the heap--> carved, not free, not freed by others
//                       --orphans----------> the process heap's
//   ring of large blocks --------------------> all of them
//
// Nothing is changed, and no list of pages is trusted, as at the end of an
// interpreter.
//
// An interpreter's owner walks beside others who free: they push onto lists
// from which only the owner takes.  Orphans are different.  Their pages are
// other heaps', whose owners collect what was freed of them, so a walk of the
// process keeps everybody out of the gate.
//
// Invariant:
//   WALK-1  a walk finds what the account says, to the byte, if nobody frees
//           meanwhile.

#include "interp/walk.h"

#include <errno.h>

#include "heap/large.h"

typedef struct walk {
    pim_walk_visitor visit;
    void *arg;
} walk;

static int
visit_live(const walk *w, const pim_page *page, const pim_live_set *live)
{
    char *start = pim_page_start(page);
    size_t end = pim_page_granules(page);
    int result = 0;
    for (size_t granule = pim_live_set_next(live, 0, end);
         granule < end && result == 0;
         granule = pim_live_set_next(live, granule + 1, end)) {
        pim_found found = {.address = start + granule * PIM_ALIGNMENT,
                           .bytes = page->block_size,
                           .domain = page->domain,
                           .size_class = page->size_class == PIM_CLASS_SPAN
                                             ? PIM_WALK_SPAN
                                             : page->size_class};
        result = w->visit(w->arg, &found);
    }
    return result;
}

static int
visit_page(const walk *w, const pim_page *page)
{
    pim_live_set live;
    if (pim_page_used(page) == 0) {
        return 0; // its free list, as long as it is, lies in cold memory
    }
    pim_page_live(page, pim_page_start(page), pim_page_orphans_or_null(page),
                  &live);
    return visit_live(w, page, &live);
}

static int
visit_large(void *arg, void *block, size_t bytes, unsigned domain)
{
    const walk *w = arg;
    pim_found found = {.address = block,
                       .bytes = bytes,
                       .domain = domain,
                       .size_class = PIM_WALK_LARGE};
    return w->visit(w->arg, &found);
}

static int
walk_large(pim_heap *heap, walk *w)
{
    pim_gate_enter();
    int result = pim_large_each(heap, visit_large, w);
    pim_gate_exit();
    return result;
}

static int
walk_arena(const pim_heap *heap, const pim_arena *arena, const walk *w)
{
    const pim_page *page = pim_arena_pages(arena);
    int result = 0;
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS && result == 0; unit++) {
        bool tagged;
        if (pim_page_owner(page + unit, &tagged) == heap) {
            result = visit_page(w, page + unit);
        }
    }
    return result;
}

int
pim_walk_heap(pim_heap *heap, pim_walk_visitor visit, void *arg)
{
    walk w = {.visit = visit, .arg = arg};
    int result = 0;
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        for (const pim_arena *arena = heap->arenas.list[list];
             arena != NULL && result == 0; arena = arena->next) {
            result = walk_arena(heap, arena, &w);
        }
    }
    return result == 0 ? walk_large(heap, &w) : result;
}

// A page: the process heap's own, an abandoned one, or one with orphans in it.
// Of a living heap's page no more than the word of its owner is read, for its
// owner changes the rest outside the gate.
static int
visit_for_process(const walk *w, const pim_page *page)
{
    bool tagged;
    const pim_heap *owner = pim_page_owner(page, &tagged);
    if (owner != NULL && pim_heap_is_process(owner)) {
        return visit_page(w, page);
    }
    if (!tagged &&
        (owner != &pim_defunct_heap || page->state != PIM_PAGE_ABANDONED)) {
        return 0;
    }
    pim_live_set live;
    pim_page_live_orphans(page, pim_page_start(page), pim_page_orphans(page),
                          &live);
    return visit_live(w, page, &live);
}

// What the process answers for lies in arenas of others, too.
static int
walk_region(const walk *w)
{
    int result = 0;
    for (const pim_arena *arena = NULL;
         result == 0 && (arena = pim_region_after(arena)) != NULL;) {
        if (pim_load_relaxed(&arena->set) == NULL) {
            continue;
        }
        const pim_page *page = pim_arena_pages(arena);
        for (unsigned unit = 0; unit < PIM_ARENA_UNITS && result == 0; unit++) {
            result = visit_for_process(w, page + unit);
        }
    }
    return result;
}

int
pim_walk_process(pim_walk_visitor visit, void *arg)
{
    walk w = {.visit = visit, .arg = arg};
    if (!pim_gate_close()) {
        return -EAGAIN;
    }
    int result = walk_region(&w);
    if (result == 0) {
        result = walk_large(&pim_process_heap, &w);
    }
    pim_gate_open();
    return result;
}
