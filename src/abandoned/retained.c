// retained.c -- what ended interpreters left, and what of its memory stays.
//
// Interpreters often follow one another, and to fault memory in again costs a
// reclaimer more than all else.  So what it could use of an abandoned arena
// (reclaim.c) stays resident for PIM_PURGE_DELAY_MS, within PIM_RETAINED_BYTES
// for the whole process.  After that, or at once if there is no room or no
// reclaimer would want it, only the system pages with a live block stay.
//
// The process heap's lock guards everything here.
//
// Invariant:
//   RETAINED-1  a retained arena is an abandoned arena that can be reclaimed.

#include "abandoned/retained.h"

#include "arena/arena_set.h"
#include "arena/region.h"
#include "platform/os.h"

pim_arena_set pim_abandoned_arenas;
_Atomic uint64_t pim_abandoned_pages;
_Atomic uint64_t pim_retained_until;

// Whether a live block of the page lies in [from, to), in part or whole; both
// are offsets of system pages.
static bool
any_live(const pim_page *page, const pim_block_set *live, size_t from,
         size_t to)
{
    const size_t span = PIM_SET_BITS * PIM_ALIGNMENT; // bytes per word
    size_t first = from / page->block_size;           // may begin before `from`
    if (first < page->capacity &&
        pim_block_set_has(live, first * page->block_size / PIM_ALIGNMENT)) {
        return true;
    }
    for (size_t i = from / span; i < to / span; i++) {
        if (pim_load_relaxed(&live[i]) != 0) {
            return true;
        }
    }
    return false;
}

// Returns the memory of the system pages that hold no live block.
static size_t
return_holes(const pim_page *page)
{
    const pim_block_set *live = pim_page_orphans(page);
    size_t returned = 0;
    size_t step = pim_os_page_size();
    size_t bytes = pim_page_units(page) * PIM_UNIT_SIZE;
    char *start = pim_page_start(page);
    size_t hole = 0; // where the current hole begins
    for (size_t at = 0; at + step <= bytes; at += step) {
        if (!any_live(page, live, at, at + step)) {
            continue;
        }
        if (hole != at) {
            pim_os->reset(start + hole, at - hole);
            returned += at - hole;
        }
        hole = at + step;
    }
    if (hole < bytes && bytes % step == 0) {
        pim_os->reset(start + hole, bytes - hole);
        returned += bytes - hole;
    }
    return returned;
}

void
pim_retained_page_passed_over(const pim_page *page)
{
    return_holes(page);
}

// Returns the holes of the pages that were kept for reclaimers.
static size_t
return_arena_holes(const pim_arena *arena)
{
    size_t bytes = 0;
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        if (pim_page_is_worth_reclaiming(first + unit)) {
            bytes += return_holes(first + unit);
        }
    }
    return bytes;
}

// --- keeping ---------------------------------------------------------------

static void
trim_at(uint64_t due)
{
    uint64_t next = pim_load_relaxed(&pim_retained_until);
    if (next == 0 || due < next) {
        pim_store_relaxed(&pim_retained_until, due);
    }
}

static size_t
release_arena(pim_arena *arena)
{
    pim_region_uncharge_arena(arena);
    size_t bytes = return_arena_holes(arena);
    pim_arena_set_purge_arena(&pim_abandoned_arenas, arena, true, &bytes);
    return bytes;
}

// The retained arena that waits longest for a reclaimer; NULL: there is none.
static pim_arena *
stalest(void)
{
    pim_arena *found = NULL;
    for (pim_arena *a = pim_abandoned_arenas.list[PIM_LIST_ABANDONED];
         a != NULL; a = a->next) {
        if (a->retained_bytes != 0 &&
            (found == NULL || a->retained_until <= found->retained_until)) {
            found = a;
        }
    }
    return found;
}

// Whether the idle memory of an arena may stay; what is older makes way for it.
static bool
may_stay(const pim_arena *arena, size_t idle)
{
    if (pim_arena_room(arena) < PIM_ABANDONED_ROOM || idle == 0 ||
        idle > PIM_RETAINED_BYTES) {
        return false;
    }
    while (!pim_region_charge(idle)) {
        pim_arena *old = stalest();
        if (old == NULL) {
            return false;
        }
        release_arena(old);
    }
    return true;
}

void
pim_retained_take_arena(pim_arena *arena)
{
    size_t idle = pim_arena_idle(arena);
    if (may_stay(arena, idle)) {
        arena->retained_bytes = (uint32_t)idle;
        arena->retained_until = pim_os->now_ms() + PIM_PURGE_DELAY_MS;
        trim_at(arena->retained_until);
    } else {
        return_arena_holes(arena);
        pim_arena_purge(arena, true);
    }
    pim_arena_set_gain(&pim_abandoned_arenas, arena, true);
}

size_t
pim_retained_trim(bool all)
{
    size_t bytes = 0;
    uint64_t now = pim_os->now_ms();
    pim_store_relaxed(&pim_retained_until, 0);
    pim_arena *next;
    for (pim_arena *a = pim_abandoned_arenas.list[PIM_LIST_ABANDONED];
         a != NULL; a = next) {
        next = a->next;
        if (a->retained_bytes != 0 && (all || now >= a->retained_until)) {
            bytes += release_arena(a);
        } else if (a->retained_bytes != 0) {
            trim_at(a->retained_until);
        }
    }
    return bytes;
}

void
pim_retained_free_page(pim_page *page)
{
    pim_arena *arena = pim_arena_of(page);
    size_t bytes = 0;
    if (pim_arena_set_free_page(&pim_abandoned_arenas, page) &&
        (arena->retained_bytes == 0 || pim_arena_is_empty(arena))) {
        pim_arena_set_purge_arena(&pim_abandoned_arenas, arena, true, &bytes);
    }
}

// --- pages -----------------------------------------------------------------

void
pim_abandon_page(pim_page *page, bool holds_orphans,
                 const struct pim_heap *defunct)
{
    pim_page_abandon(page, pim_page_start(page), holds_orphans,
                     pim_page_orphans(page));
    if (!pim_page_is_worth_reclaiming(page)) {
        return_holes(page);
    }
    pim_own_add(&pim_abandoned_pages, 1);
    pim_page_set_owner(page, defunct, false);
}

void
pim_abandoned_gained(pim_page *page)
{
    pim_arena_set_room_made(&pim_abandoned_arenas, page);
    if (pim_page_used(page) == 0) {
        pim_own_sub(&pim_abandoned_pages, 1);
        pim_retained_free_page(page);
    }
}
