// arenas.c -- the arenas of a heap: runs for pages, and giving memory back.
//
// The process heap keeps the arenas of ended interpreters in lists apart
// (estate.c); its own requests are served from its own.
//
// Arenas lie in one list for each length of run they can still serve.  A
// request goes to the shortest that suffices, so long runs stay whole.
//
// Memory of empty pages is not returned at once: a purge tick every
// PIM_PURGE_DELAY_MS, driven by the heap's own slow path, returns what stayed
// unused from one tick to the next.  What is idle beyond PIM_IDLE_UNITS, the heap's
// own size and what it was granted goes at once.  And no new peak of resident
// memory is made while much lies idle: that goes first.

#include "heap/maps.h"
#include "platform/os.h"
#include "platform/scarcity.h"

// How many arenas are looked at for a run.
#define LOOK_MAX 16

unsigned pim_huge_at_start;

static unsigned
dirty_units(const pim_arena *arena)
{
    return pim_unit_set_count(&arena->dirty);
}

static unsigned
used_units(const pim_arena *arena)
{
    return PIM_ARENA_UNITS - pim_unit_set_count(&arena->free);
}

// Puts an arena into a list of the heap.
static void
list_insert(pim_heap *heap, pim_arena *arena, unsigned list)
{
    arena->list = (uint8_t)list;
    arena->prev = NULL;
    arena->next = heap->arenas[list];
    if (arena->next != NULL) {
        arena->next->prev = arena;
    }
    heap->arenas[list] = arena;
}

static void
list_remove(pim_heap *heap, pim_arena *arena)
{
    if (arena->prev != NULL) {
        arena->prev->next = arena->next;
    } else {
        heap->arenas[arena->list] = arena->next;
    }
    if (arena->next != NULL) {
        arena->next->prev = arena->prev;
    }
}

// The list an arena belongs into now.
static unsigned
list_for(const pim_arena *arena)
{
    if (arena->list < PIM_FITS) {
        return (unsigned)pim_arena_fit(arena);
    }
    return pim_arena_room(arena) >= PIM_ESTATE_ROOM ? PIM_LIST_ESTATE
                                                    : PIM_LIST_SPENT;
}

static void
relist(pim_heap *heap, pim_arena *arena)
{
    unsigned list = list_for(arena);
    if (list != arena->list) {
        list_remove(heap, arena);
        list_insert(heap, arena, list);
    }
}

void
pim_heap_room_made(pim_heap *heap, pim_page *page)
{
    pim_arena *arena = pim_arena_of(page);
    if (pim_load_relaxed(&arena->heap) == heap &&
        arena->list == PIM_LIST_SPENT && pim_page_is_worth_inheriting(page)) {
        relist(heap, arena);
    }
}

void
pim_heap_gain_arena(pim_heap *heap, pim_arena *arena, bool as_estate)
{
    pim_store_relaxed(&arena->heap, heap);
    pim_own_add(&heap->arena_count, 1);
    heap->dense_arenas += arena->dense;
    pim_own_add(&heap->dirty_units, dirty_units(arena));
    heap->used_units += used_units(arena);
    heap->idle_units += pim_arena_idle_units(arena);
    arena->list = as_estate ? PIM_LIST_SPENT : PIM_FIT_NONE;
    list_insert(heap, arena, list_for(arena));
}

void
pim_heap_lose_arena(pim_heap *heap, pim_arena *arena)
{
    pim_own_sub(&heap->arena_count, 1);
    heap->dense_arenas -= arena->dense;
    pim_own_sub(&heap->dirty_units, dirty_units(arena));
    heap->used_units -= used_units(arena);
    heap->idle_units -= pim_arena_idle_units(arena);
    list_remove(heap, arena);
    pim_warm_forget(arena);
}

void
pim_heap_note_peak(pim_heap *heap)
{
    uint64_t dirty = pim_load_relaxed(&heap->dirty_units) +
                     (pim_load_relaxed(&heap->large_bytes) >> PIM_UNIT_SHIFT);
    if (dirty > heap->dirty_peak && !pim_heap_is_process(heap)) {
        heap->dirty_peak = dirty + pim_heap_peak_step(dirty);
        heap->at_peak = true;
    }
}

void
pim_heap_touch(pim_heap *heap, pim_page *page, size_t from, size_t to)
{
    pim_own_add(&heap->dirty_units, pim_arena_touch(page, from, to));
    pim_heap_note_peak(heap);
}

// Grants of idle memory, in units, that heaps have.
static _Atomic size_t granted;

static bool
ask_for_grant(pim_heap *heap)
{
    if (pim_add_relaxed(&granted, PIM_IDLE_GRANT) >= PIM_IDLE_GRANTS) {
        pim_sub_relaxed(&granted, PIM_IDLE_GRANT);
        return false;
    }
    heap->granted += PIM_IDLE_GRANT;
    return true;
}

void
pim_heap_give_up_grants(pim_heap *heap)
{
    pim_sub_relaxed(&granted, heap->granted);
    heap->granted = 0;
}

void
pim_heap_limit_idle(pim_heap *heap)
{
    bool is_granted = true;
    uint64_t allowed =
        pim_is_tight() ? PIM_IDLE_UNITS / 8 : heap->used_units + PIM_IDLE_UNITS;
    while (is_granted && heap->idle_units > allowed + heap->granted) {
        is_granted = !pim_is_tight() && ask_for_grant(heap);
    }
    if (is_granted) {
        pim_heap_purge_later(heap);
    } else {
        pim_heap_purge(heap, true);
    }
}

void
pim_heap_release_page(pim_heap *heap, pim_page *page)
{
    PIM_ASSERT(pim_page_used(page) == 0);
    unsigned units = pim_page_units(page);
    pim_arena *arena = pim_arena_of(page);
    pim_own_sub(&heap->page_count, 1);
    pim_heap *owner = pim_load_relaxed(&arena->heap);
    if (owner != heap) {
        // Leftovers of a page too full to be inherited, in an arena that was.
        PIM_ASSERT(pim_heap_is_process(heap));
        pim_arena_return_run(arena, page, units);
        pim_store_release(&owner->returned, true);
        return;
    }
    pim_heap_free_units(heap, page, units);
}

void
pim_heap_free_units(pim_heap *heap, pim_page *first, unsigned units)
{
    pim_arena *arena = pim_arena_of(first);
    pim_arena_free_run(arena, first, units);
    heap->used_units -= units;
    heap->idle_units += pim_arena_dirty(arena, first, units);
    relist(heap, arena);
    if (pim_heap_is_process(heap)) {
        size_t bytes = 0;
        if (arena->warm_bytes == 0 || pim_arena_is_empty(arena)) {
            pim_heap_purge_arena(heap, arena, true, &bytes); // nobody would
        }
    } else if (!heap->releasing) {
        pim_heap_limit_idle(heap);
    }
}

// Takes in what others returned to our arenas.
static void
take_returned(pim_heap *heap)
{
    if (!pim_load_relaxed(&heap->returned) ||
        !pim_exchange(&heap->returned, false)) {
        return;
    }
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        pim_arena *next;
        for (pim_arena *a = heap->arenas[list]; a != NULL; a = next) {
            next = a->next;
            unsigned before = dirty_units(a);
            unsigned used = used_units(a);
            pim_arena_take_returned(a);
            pim_own_sub(&heap->dirty_units, before - dirty_units(a));
            heap->used_units -= used - used_units(a);
            relist(heap, a);
        }
    }
}

// A huge page replaces 512 page faults, each of which takes as long as a hundred
// allocations.  But all of it is resident at once: a heap must be large for that
// not to count, and the arena one that fills from end to end, with pages of one
// unit and nothing else.
//
// The main interpreter of a python executable fills its first arenas before it
// runs a line of the program.
static bool
deserves_huge_page(const pim_heap *heap, unsigned units)
{
    uint64_t count = pim_load_relaxed(&heap->arena_count);
    return (units == 1 && count >= PIM_HUGE_FROM_ARENAS) ||
           (heap->id == 0 && count < pim_huge_at_start);
}

static pim_arena *
new_arena(pim_heap *heap, unsigned units)
{
    pim_arena *arena = pim_region_take(heap, heap->name);
    if (arena == NULL && pim_maps_trim(true) != 0) {
        arena = pim_region_take(heap, heap->name);
    }
    if (arena == NULL && pim_large_cut_rooms(heap)) {
        arena = pim_region_take(heap, heap->name);
    }
    if (arena != NULL) {
        pim_scarcity_grew(PIM_ARENA_SIZE);
        pim_maps_make_way(PIM_ARENA_SIZE - dirty_units(arena) * PIM_UNIT_SIZE);
        if (deserves_huge_page(heap, units)) {
            arena->dense =
                pim_load_relaxed(&heap->arena_count) >= PIM_HUGE_FROM_ARENAS;
            pim_os->advise_huge(pim_arena_start(arena), PIM_ARENA_SIZE);
        }
        pim_heap_gain_arena(heap, arena, false);
    }
    return arena;
}

static bool
has_run(const pim_heap *heap, pim_fit shortest)
{
    for (unsigned fit = shortest; fit < PIM_FITS; fit++) {
        if (heap->arenas[fit] != NULL) {
            return true;
        }
    }
    return false;
}

bool
pim_heap_has_run(pim_heap *heap, unsigned units)
{
    if (has_run(heap, pim_fit_for(units))) {
        return true;
    }
    take_returned(heap);
    return has_run(heap, pim_fit_for(units));
}

static pim_page *
find_run(pim_heap *heap, unsigned units, bool warm_only)
{
    unsigned looks = LOOK_MAX;
    pim_fit shortest = pim_fit_for(units);
    for (unsigned fit = shortest; fit < PIM_FITS; fit++) {
        for (pim_arena *a = heap->arenas[fit]; a != NULL && looks != 0;
             a = a->next, looks--) {
            pim_page *first = pim_arena_take_run(a, units, warm_only);
            if (first != NULL) {
                return first;
            }
        }
    }
    return NULL;
}

pim_page *
pim_heap_take_run(pim_heap *heap, unsigned units)
{
    pim_page *first = NULL;
    if (heap->idle_units >= units) {
        first = find_run(heap, units, true);
    }
    if (first == NULL) {
        first = find_run(heap, units, false);
    }
    if (first == NULL) {
        pim_heap_release_idle(heap);
        first = find_run(heap, units, false);
    }
    if (first == NULL) {
        pim_arena *fresh = new_arena(heap, units);
        if (fresh == NULL) {
            return NULL;
        }
        first = pim_arena_take_run(fresh, units, false);
    }
    pim_arena *arena = pim_arena_of(first);
    relist(heap, arena);
    heap->used_units += units;
    heap->idle_units -= pim_arena_dirty(arena, first, units);
    return first;
}

bool
pim_heap_extend_run(pim_heap *heap, pim_page *first, unsigned units,
                    unsigned more)
{
    pim_arena *arena = pim_arena_of(first);
    if (pim_load_relaxed(&arena->heap) != heap ||
        !pim_arena_extend_run(arena, first, units, more)) {
        return false;
    }
    relist(heap, arena);
    heap->used_units += more;
    heap->idle_units -= pim_arena_dirty(arena, first + units, more);
    return true;
}

// Returns the memory of an arena's free units.
static size_t
purge_units(pim_heap *heap, pim_arena *arena, bool all)
{
    unsigned before = dirty_units(arena);
    size_t bytes = pim_arena_purge(arena, all);
    pim_own_sub(&heap->dirty_units, before - dirty_units(arena));
    heap->idle_units -= before - dirty_units(arena);
    return bytes;
}

bool
pim_heap_purge_arena(pim_heap *heap, pim_arena *arena, bool all, size_t *bytes)
{
    *bytes += purge_units(heap, arena, all);
    if (!pim_arena_is_empty(arena) || dirty_units(arena) != 0) {
        return true;
    }
    pim_heap_lose_arena(heap, arena);
    pim_region_give(arena);
    return false;
}

// Only what the owner looks at inside the gate: neither lists nor used units.
size_t
pim_heap_purge_from_outside(pim_heap *heap, bool all)
{
    size_t bytes = 0;
    if (all) {
        pim_store_relaxed(&heap->trim_wanted, true);
    }
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        for (pim_arena *a = heap->arenas[list]; a != NULL; a = a->next) {
            bytes += purge_units(heap, a, all);
        }
    }
    return bytes;
}

size_t
pim_heap_purge(pim_heap *heap, bool all)
{
    size_t bytes = 0;
    bool idle_left = false;
    take_returned(heap);
    pim_heap_release_idle(heap);
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        pim_arena *next;
        for (pim_arena *a = heap->arenas[list]; a != NULL; a = next) {
            next = a->next;
            bool kept = pim_heap_purge_arena(heap, a, all, &bytes);
            idle_left |= kept && pim_unit_set_count(&a->aged) != 0;
        }
    }
    pim_heap_give_up_grants(heap);
    heap->purge_at = idle_left ? pim_os->now_ms() + PIM_PURGE_DELAY_MS : 0;
    return bytes;
}

// --- audit -----------------------------------------------------------------

// What the heap's counters should say.
typedef struct sums {
    uint64_t arenas;
    uint64_t dense;
    uint64_t pages;
    uint64_t used;
    uint64_t idle;
    uint64_t dirty;
    unsigned idle_runs;
} sums;

static void
audit_arena(const pim_heap *heap, const pim_arena *arena, sums *sum)
{
    sum->arenas++;
    sum->dense += arena->dense;
    sum->used += used_units(arena);
    sum->idle += pim_arena_idle_units(arena);
    sum->dirty += dirty_units(arena);
    PIM_CHECK(pim_load_relaxed(&arena->heap) == heap &&
                  arena->list == list_for(arena),
              "an arena is in the wrong list", arena);
    PIM_CHECK(arena->warm_bytes == 0 || arena->list == PIM_LIST_ESTATE,
              "WARM-1: an arena is warm that nobody can inherit", arena);
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        const pim_page *page = first + unit;
        bool is_free = (arena->free.word[unit / 64] >> unit % 64 & 1) != 0;
        bool tagged;
        if (page->state == PIM_PAGE_IDLE) {
            sum->idle_runs += pim_page_units(page);
            sum->pages++;
        }
        PIM_CHECK(!is_free ||
                      (page->state == PIM_PAGE_UNUSED && page->back == 0),
                  "ARENA-2: the descriptor of a free unit is in use", page);
        if (page->state != PIM_PAGE_UNUSED && page->state != PIM_PAGE_SEALED &&
            pim_page_owner(page, &tagged) == heap) {
            sum->pages++;
            pim_page_audit(page, pim_page_start(page), pim_page_held(page));
        }
    }
}

static void
audit_counters(const pim_heap *heap, const sums *sum)
{
    PIM_CHECK(pim_load_relaxed(&heap->arena_count) == sum->arenas &&
                  heap->dense_arenas == sum->dense,
              "the count of arenas is wrong", heap);
    PIM_CHECK(heap->used_units == sum->used && heap->idle_units == sum->idle &&
                  pim_load_relaxed(&heap->dirty_units) == sum->dirty,
              "a count of units is wrong", heap);
    PIM_CHECK(heap->idle_run_units == sum->idle_runs,
              "the count of idle runs' units is wrong", heap);
    // The process heap has pages in others' arenas, too (ESTATE-2).
    PIM_CHECK(pim_heap_is_process(heap) ||
                  pim_load_relaxed(&heap->page_count) == sum->pages,
              "the count of pages is wrong", heap);
}

void
pim_heap_audit(pim_heap *heap)
{
    sums sum = {0};
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        for (pim_arena *a = heap->arenas[list]; a != NULL; a = a->next) {
            audit_arena(heap, a, &sum);
        }
    }
    audit_counters(heap, &sum);
    unsigned empty_units = 0;
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[slot][c];
            PIM_CHECK(page == &pim_empty_page ||
                          page->state == PIM_PAGE_CURRENT,
                      "HEAP-2: a current page is not one", page);
            for (page = heap->partial[slot][c]; page != NULL;
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
    PIM_CHECK(empty_units == heap->empty_units,
              "the count of empty units is wrong", heap);
    pim_maps_audit(heap);
}
