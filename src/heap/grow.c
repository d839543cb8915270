// grow.c -- a heap that needs another span gets one: from its arenas, from what
// it keeps idle, or from a new arena.

#include "heap/grow.h"

#include "arena/arena_set.h"
#include "arena/region.h"
#include "extent/extent.h"
#include "heap/idle.h"
#include "heap/large.h"
#include "platform/huge_page.h"
#include "platform/os.h"
#include "platform/scarcity.h"

// A huge page replaces 512 page faults, each of which takes as long as a
// hundred allocations.  But all of it is resident at once: a heap must be large
// for that not to count, and the arena one that fills from end to end, with
// pages of one unit and nothing else.
static bool
deserves_huge_page(const pim_heap *heap, unsigned units)
{
    return units == 1 && pim_huge_page_suits() &&
           pim_load_relaxed(&heap->arenas.arenas) >= PIM_HUGE_FROM_ARENAS;
}

static pim_arena *
new_arena(pim_heap *heap, unsigned units)
{
    pim_arena *arena = pim_region_take(heap->name);
    if (arena == NULL && pim_extent_trim(true) != 0) {
        arena = pim_region_take(heap->name);
    }
    if (arena == NULL && pim_large_cut_rooms(heap)) {
        arena = pim_region_take(heap->name);
    }
    if (arena != NULL) {
        pim_scarcity_grew(PIM_ARENA_SIZE);
        pim_extent_make_way(PIM_ARENA_SIZE -
                            pim_arena_dirty_units(arena) * PIM_UNIT_SIZE);
        if (deserves_huge_page(heap, units)) {
            arena->dense = true;
            pim_os->advise_huge(pim_arena_start(arena), PIM_ARENA_SIZE);
        }
        pim_arena_set_gain(&heap->arenas, arena, false);
    }
    return arena;
}

pim_page *
pim_heap_take_span(pim_heap *heap, unsigned units)
{
    pim_arena_set *arenas = &heap->arenas;
    pim_page *first = pim_arena_set_take_span(arenas, units);
    if (first == NULL) {
        pim_heap_release_idle(heap);
        first = pim_arena_set_take_span(arenas, units);
    }
    if (first == NULL && new_arena(heap, units) != NULL) {
        first = pim_arena_set_take_span(arenas, units);
    }
    return first;
}
