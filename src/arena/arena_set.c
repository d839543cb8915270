// arena_set.c -- see arena_set.h.

#include "arena/arena_set.h"

// How many arenas are looked at for a span.
#define LOOK_MAX 16

unsigned
pim_arena_dirty_units(const pim_arena *arena)
{
    return pim_unit_set_count(&arena->dirty);
}

unsigned
pim_arena_used_units(const pim_arena *arena)
{
    return PIM_ARENA_UNITS - pim_unit_set_count(&arena->free);
}

// --- lists -----------------------------------------------------------------

static void
list_insert(pim_arena_set *set, pim_arena *arena, unsigned list)
{
    arena->list = (uint8_t)list;
    arena->prev = NULL;
    arena->next = set->list[list];
    if (arena->next != NULL) {
        arena->next->prev = arena;
    }
    set->list[list] = arena;
}

static void
list_remove(pim_arena_set *set, pim_arena *arena)
{
    if (arena->prev != NULL) {
        arena->prev->next = arena->next;
    } else {
        set->list[arena->list] = arena->next;
    }
    if (arena->next != NULL) {
        arena->next->prev = arena->prev;
    }
}

unsigned
pim_arena_list_for(const pim_arena *arena)
{
    if (arena->list < PIM_FITS) {
        return (unsigned)pim_arena_fit(arena);
    }
    return pim_arena_room(arena) >= PIM_ABANDONED_ROOM ? PIM_LIST_ABANDONED
                                                       : PIM_LIST_SPENT;
}

static void
relist(pim_arena_set *set, pim_arena *arena)
{
    unsigned list = pim_arena_list_for(arena);
    if (list != arena->list) {
        list_remove(set, arena);
        list_insert(set, arena, list);
    }
}

void
pim_arena_set_room_made(pim_arena_set *set, pim_page *page)
{
    pim_arena *arena = pim_arena_of(page);
    if (pim_load_relaxed(&arena->set) == set && arena->list == PIM_LIST_SPENT &&
        pim_page_is_worth_reclaiming(page)) {
        relist(set, arena);
    }
}

void
pim_arena_set_gain(pim_arena_set *set, pim_arena *arena, bool as_abandoned)
{
    pim_store_relaxed(&arena->set, set);
    pim_own_add(&set->arenas, 1);
    set->dense += arena->dense;
    pim_own_add(&set->dirty_units, pim_arena_dirty_units(arena));
    set->used_units += pim_arena_used_units(arena);
    set->idle_units += pim_arena_idle_units(arena);
    arena->list = as_abandoned ? PIM_LIST_SPENT : PIM_FIT_NONE;
    list_insert(set, arena, pim_arena_list_for(arena));
}

void
pim_arena_set_lose(pim_arena_set *set, pim_arena *arena)
{
    pim_own_sub(&set->arenas, 1);
    set->dense -= arena->dense;
    pim_own_sub(&set->dirty_units, pim_arena_dirty_units(arena));
    set->used_units -= pim_arena_used_units(arena);
    set->idle_units -= pim_arena_idle_units(arena);
    list_remove(set, arena);
    pim_region_uncharge_arena(arena);
}

// --- spans ------------------------------------------------------------------

// Whether there is a span of that fit or a longer one.
static bool
has_span(const pim_arena_set *set, pim_fit shortest)
{
    for (unsigned fit = shortest; fit < PIM_FITS; fit++) {
        if (set->list[fit] != NULL) {
            return true;
        }
    }
    return false;
}

bool
pim_arena_set_has_span(pim_arena_set *set, unsigned units)
{
    if (has_span(set, pim_fit_for(units))) {
        return true;
    }
    pim_arena_set_take_returned(set);
    return has_span(set, pim_fit_for(units));
}

static pim_page *
find_span(const pim_arena_set *set, unsigned units, bool dirty_only)
{
    unsigned looks = LOOK_MAX;
    pim_fit shortest = pim_fit_for(units);
    for (unsigned fit = shortest; fit < PIM_FITS; fit++) {
        for (pim_arena *a = set->list[fit]; a != NULL && looks != 0;
             a = a->next, looks--) {
            pim_page *first = pim_arena_take_span(a, units, dirty_only);
            if (first != NULL) {
                return first;
            }
        }
    }
    return NULL;
}

pim_page *
pim_arena_set_take_span(pim_arena_set *set, unsigned units)
{
    pim_page *first = NULL;
    if (set->idle_units >= units) {
        first = find_span(set, units, true);
    }
    if (first == NULL) {
        first = find_span(set, units, false);
    }
    if (first != NULL) {
        pim_arena *arena = pim_arena_of(first);
        relist(set, arena);
        set->used_units += units;
        set->idle_units -= pim_arena_dirty(arena, first, units);
    }
    return first;
}

bool
pim_arena_set_extend_span(pim_arena_set *set, pim_page *first, unsigned units,
                          unsigned more)
{
    pim_arena *arena = pim_arena_of(first);
    if (pim_load_relaxed(&arena->set) != set ||
        !pim_arena_extend_span(arena, first, units, more)) {
        return false;
    }
    relist(set, arena);
    set->used_units += more;
    set->idle_units -= pim_arena_dirty(arena, first + units, more);
    return true;
}

void
pim_arena_set_free_units(pim_arena_set *set, pim_page *first, unsigned units)
{
    pim_arena *arena = pim_arena_of(first);
    pim_arena_free_span(arena, first, units);
    set->used_units -= units;
    set->idle_units += pim_arena_dirty(arena, first, units);
    relist(set, arena);
}

bool
pim_arena_set_free_page(pim_arena_set *set, pim_page *page)
{
    PIM_ASSERT(pim_page_used(page) == 0);
    unsigned units = pim_page_units(page);
    pim_arena *arena = pim_arena_of(page);
    pim_arena_set *owner = pim_load_relaxed(&arena->set);
    if (owner != set) {
        // Orphans of a page too full to be reclaimed, in an arena that was.
        pim_arena_return_span(arena, page, units);
        pim_store_release(&owner->returned, true);
        return false;
    }
    pim_arena_set_free_units(set, page, units);
    return true;
}

void
pim_arena_set_touch(pim_arena_set *set, pim_page *page, size_t from, size_t to)
{
    pim_own_add(&set->dirty_units, pim_arena_touch(page, from, to));
}

// --- giving back -----------------------------------------------------------

void
pim_arena_set_take_returned(pim_arena_set *set)
{
    if (!pim_load_relaxed(&set->returned) ||
        !pim_exchange(&set->returned, false)) {
        return;
    }
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        pim_arena *next;
        for (pim_arena *a = set->list[list]; a != NULL; a = next) {
            next = a->next;
            unsigned before = pim_arena_dirty_units(a);
            unsigned used = pim_arena_used_units(a);
            pim_arena_take_returned(a);
            pim_own_sub(&set->dirty_units, before - pim_arena_dirty_units(a));
            set->used_units -= used - pim_arena_used_units(a);
            relist(set, a);
        }
    }
}

size_t
pim_arena_set_purge_units(pim_arena_set *set, pim_arena *arena, bool all)
{
    unsigned before = pim_arena_dirty_units(arena);
    size_t bytes = pim_arena_purge(arena, all);
    unsigned after = pim_arena_dirty_units(arena);
    pim_own_sub(&set->dirty_units, before - after);
    set->idle_units -= before - after;
    return bytes;
}

bool
pim_arena_set_purge_arena(pim_arena_set *set, pim_arena *arena, bool all,
                          size_t *bytes)
{
    *bytes += pim_arena_set_purge_units(set, arena, all);
    if (!pim_arena_is_empty(arena) || pim_arena_dirty_units(arena) != 0) {
        return true;
    }
    pim_arena_set_lose(set, arena);
    pim_region_give(arena);
    return false;
}
