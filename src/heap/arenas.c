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
// unused from one tick to the next.  What is idle beyond PIM_IDLE_UNITS and the
// heap's own size goes at once.

#include "heap/maps.h"
#include "platform/os.h"

// How many arenas are looked at for a run.
#define LOOK_MAX 16

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
    list_remove(heap, arena);
    pim_warm_forget(arena);
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
    relist(heap, arena);
    if (pim_heap_is_process(heap)) {
        size_t bytes = 0;
        if (arena->warm_bytes == 0 || pim_arena_is_empty(arena)) {
            pim_heap_purge_arena(heap, arena, true, &bytes); // nobody would
        }
    } else if (pim_load_relaxed(&heap->dirty_units) >
                   2 * heap->used_units + PIM_IDLE_UNITS + heap->granted &&
               !ask_for_grant(heap)) {
        pim_heap_purge(heap, true);
    } else {
        pim_heap_purge_later(heap);
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

// CPython's main interpreter fills its first dense arena before it runs a line of
// the program, so a huge page costs next to no memory there and saves hundreds of
// page faults, each of which takes as long as a hundred allocations.
static bool
deserves_huge_pages(const pim_heap *heap)
{
    return heap->id == 0 && heap->dense_arenas < PIM_ARENAS_AT_START;
}

static pim_arena *
new_arena(pim_heap *heap, bool dense)
{
    pim_arena *arena = pim_region_take(heap, heap->name);
    if (arena == NULL && pim_maps_trim(true) != 0) {
        arena = pim_region_take(heap, heap->name);
    }
    if (arena != NULL) {
        pim_maps_make_way(PIM_ARENA_SIZE - dirty_units(arena) * PIM_UNIT_SIZE);
        arena->dense = dense;
        if (dense && deserves_huge_pages(heap)) {
            pim_os->advise_huge(pim_arena_start(arena), PIM_ARENA_SIZE);
        }
        pim_heap_gain_arena(heap, arena, false);
    }
    return arena;
}

// The last list that may serve a request that begins to look in `shortest`.
static unsigned
last_list(pim_fit shortest)
{
    return shortest == PIM_FIT_1 ? PIM_FIT_1 : PIM_FIT_16;
}

static bool
has_run(const pim_heap *heap, pim_fit shortest)
{
    for (unsigned fit = shortest; fit <= last_list(shortest); fit++) {
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
find_run(pim_heap *heap, unsigned units)
{
    unsigned looks = LOOK_MAX;
    pim_fit shortest = pim_fit_for(units);
    for (unsigned fit = shortest; fit <= last_list(shortest); fit++) {
        for (pim_arena *a = heap->arenas[fit]; a != NULL && looks-- != 0;
             a = a->next) {
            pim_page *first = pim_arena_take_run(a, units);
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
    pim_page *first = find_run(heap, units);
    if (first == NULL) {
        pim_heap_release_idle(heap);
        first = find_run(heap, units);
    }
    if (first == NULL) {
        pim_arena *arena = new_arena(heap, units == 1);
        if (arena == NULL) {
            return NULL;
        }
        first = pim_arena_take_run(arena, units);
    }
    relist(heap, pim_arena_of(first));
    heap->used_units += units;
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
    return true;
}

bool
pim_heap_purge_arena(pim_heap *heap, pim_arena *arena, bool all, size_t *bytes)
{
    unsigned before = dirty_units(arena);
    *bytes += pim_arena_purge(arena, all);
    pim_own_sub(&heap->dirty_units, before - dirty_units(arena));
    if (!pim_arena_is_empty(arena) || dirty_units(arena) != 0) {
        return true;
    }
    pim_heap_lose_arena(heap, arena);
    pim_region_give(arena);
    return false;
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

static void
audit_arena(const pim_heap *heap, const pim_arena *arena)
{
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
        PIM_CHECK(!is_free ||
                      (page->state == PIM_PAGE_UNUSED && page->back == 0),
                  "ARENA-2: the descriptor of a free unit is in use", page);
        if (page->state != PIM_PAGE_UNUSED && page->state != PIM_PAGE_SEALED &&
            pim_page_owner(page, &tagged) == heap) {
            pim_page_audit(page, pim_page_start(page), pim_page_held(page));
        }
    }
}

void
pim_heap_audit(pim_heap *heap)
{
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        for (pim_arena *a = heap->arenas[list]; a != NULL; a = a->next) {
            audit_arena(heap, a);
        }
    }
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[slot][c];
            PIM_CHECK(page == &pim_empty_page ||
                          page->state == PIM_PAGE_CURRENT,
                      "HEAP-2: a current page is not one", page);
            for (page = heap->partial[slot][c]; page != NULL;
                 page = page->next) {
                PIM_CHECK(page->state == PIM_PAGE_PARTIAL &&
                              pim_page_used(page) != 0 &&
                              pim_page_used(page) < page->capacity,
                          "a page is in the partial list and is not", page);
            }
        }
    }
}
