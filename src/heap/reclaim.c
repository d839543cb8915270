// reclaim.c -- what ended interpreters left live, and the pages' next life.
//
//   heap of interp 3 --retire-->  no heap  --reclaim-->  heap of interp 9
//        page                   ABANDONED                PARTIAL, tagged
//
// CPython 3.13 leaves some 4,000 short strings per interpreter, scattered over
// all pages of their classes; one leaked object is enough to keep a page.  So
// that the space between orphans is not lost, a new heap takes over whole
// arenas of ended interpreters before it asks the region for more, and
// allocates from the holes of their pages.
//
// Orphans stay in the process heap's account.  Which blocks of a page are
// orphans is kept in a set out of line, and the page's owner is tagged, so
// that frees into it ask the set.
//
// Arenas change hands under the process heap's lock.
//
// Invariants:
//   ABANDONED-1  an abandoned page belongs to no heap and has no free list; its
//                set is exactly its used blocks.
//   ABANDONED-2  an arena's abandoned pages that were not worth reclaiming stay
//                abandoned, whoever owns the arena.

#include "heap/reclaim.h"

#include "abandoned/retained.h"
#include "arena/arena_set.h"
#include "heap/page_list.h"

// How many abandoned arenas are looked at to find one for a reclaimer.
#define LOOK_MAX 64

// Its set of orphans stays; its other blocks are carved anew on demand.
static void
reclaim_page(pim_heap *heap, pim_page *page)
{
    pim_own_sub(&pim_abandoned_pages, 1);
    pim_own_add(&heap->page_count, 1);
    pim_page_set_owner(page, heap, true);
    pim_heap_insert_partial(heap, page);
}

// How well an abandoned arena suits a reclaimer that needs a span of that
// length; 0: not.  What is retained is preferred, and long spans are left to
// who needs them.  Without any free unit there may still be room in its pages,
// for who wants them.
static unsigned
suits(const pim_arena *arena, pim_fit need, bool with_pages)
{
    pim_fit fit = pim_arena_fit(arena);
    if (fit < need) {
        return with_pages && need == PIM_FIT_1 ? 1 : 0;
    }
    unsigned closeness = 1 + PIM_FITS - (unsigned)(fit - need);
    return closeness + (arena->retained_bytes != 0 ? PIM_FITS : 0);
}

static pim_arena *
find_abandoned(pim_fit need, bool with_pages)
{
    pim_arena *best = NULL;
    unsigned best_suits = 0;
    unsigned looked = 0;
    for (pim_arena *a = pim_abandoned_arenas.list[PIM_LIST_ABANDONED];
         a != NULL && looked < LOOK_MAX; a = a->next, looked++) {
        unsigned s = suits(a, need, with_pages);
        if (s > best_suits) {
            best = a;
            best_suits = s;
        }
    }
    return best;
}

bool
pim_heap_reclaim(pim_heap *heap, unsigned units)
{
    // Nor does the raw heap reclaim: it has no use for pages of mem and obj.
    if (heap->id == PIM_PROCESS_ID ||
        pim_load_relaxed(&pim_abandoned_arenas.arenas) == 0) {
        return false;
    }
    // What is left in a page together with others' blocks cannot go alone.
    bool with_pages = pim_heap_keeps(heap);
    pim_lock_acquire(&pim_process_lock);
    pim_arena *arena = find_abandoned(pim_fit_for(units), with_pages);
    if (arena != NULL) {
        pim_arena_set_lose(&pim_abandoned_arenas, arena);
        pim_arena_set_gain(&heap->arenas, arena, false);
        pim_page *first = pim_arena_pages(arena);
        for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
            if (!pim_page_is_worth_reclaiming(first + unit)) {
                continue;
            }
            if (with_pages) {
                reclaim_page(heap, first + unit);
            } else {
                pim_retained_page_passed_over(first + unit);
            }
        }
    }
    pim_lock_release(&pim_process_lock);
    return arena != NULL;
}
