// purge.c -- idle memory goes back to the system.
//
// Not at once: a purge tick every PIM_PURGE_DELAY_MS, driven by the heap's own
// slow path, returns what stayed unused from one tick to the next.  What is
// idle beyond PIM_IDLE_UNITS, the heap's own size and its idle credit goes at
// the end of the slow path that freed it.  And no new peak of resident
// memory is made while much lies idle: that goes first.
//
// Freeing only counts; all purging begins here, where no list is being gone
// through.

#include "heap/purge.h"

#include "abandoned/retained.h"
#include "arena/arena_set.h"
#include "arena/region.h"
#include "extent/extent.h"
#include "extent/mi_blocks.h"
#include "heap/idle.h"
#include "platform/os.h"
#include "platform/scarcity.h"

// Slow paths between two looks at the clock.
#define CALLS_UNTIL_CLOCK 64

// Idle credit, in units, that heaps have.
static _Atomic size_t credit_given;

static bool
ask_for_credit(pim_heap *heap)
{
    if (pim_add_relaxed(&credit_given, PIM_IDLE_CREDIT) >= PIM_IDLE_CREDITS) {
        pim_sub_relaxed(&credit_given, PIM_IDLE_CREDIT);
        return false;
    }
    heap->purge.credit += PIM_IDLE_CREDIT;
    return true;
}

void
pim_heap_give_up_credit(pim_heap *heap)
{
    pim_sub_relaxed(&credit_given, heap->purge.credit);
    heap->purge.credit = 0;
}

size_t
pim_heap_purge(pim_heap *heap, bool all)
{
    size_t bytes = 0;
    bool idle_left = false;
    pim_arena_set_take_returned(&heap->arenas);
    pim_heap_release_idle(heap);
    for (unsigned list = 0; list < PIM_ARENA_LISTS; list++) {
        pim_arena *next;
        for (pim_arena *a = heap->arenas.list[list]; a != NULL; a = next) {
            next = a->next;
            bool kept =
                pim_arena_set_purge_arena(&heap->arenas, a, all, &bytes);
            idle_left |= kept && pim_unit_set_count(&a->aged) != 0;
        }
    }
    pim_heap_give_up_credit(heap);
    heap->purge.at = idle_left ? pim_os->now_ms() + PIM_PURGE_DELAY_MS : 0;
    return bytes;
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
        for (pim_arena *a = heap->arenas.list[list]; a != NULL; a = a->next) {
            bytes += pim_arena_set_purge_units(&heap->arenas, a, all);
        }
    }
    return bytes;
}

// --- the clock -------------------------------------------------------------

// Whether the heap keeps more idle memory than it may.
static bool
keeps_too_much(pim_heap *heap)
{
    bool has_credit = true;
    uint64_t allowed = pim_is_tight()
                           ? PIM_IDLE_UNITS / 8
                           : heap->arenas.used_units + PIM_IDLE_UNITS;
    while (has_credit &&
           heap->arenas.idle_units > allowed + heap->purge.credit) {
        has_credit = !pim_is_tight() && ask_for_credit(heap);
    }
    // Where no unit can go alone, purging again would give nothing more back.
    return !has_credit && pim_arena_units_are_pages();
}

static void
trim_retained(const pim_heap *heap)
{
    bool holds_lock = pim_heap_is_process(heap); // as its owner
    if (!holds_lock) {
        pim_lock_acquire(&pim_process_lock);
    }
    pim_retained_trim(false);
    if (!holds_lock) {
        pim_lock_release(&pim_process_lock);
    }
}

// Whether anything is kept that a clock is to end.
static bool
is_waiting(const pim_heap *heap)
{
    return heap->purge.at != 0 ||
           pim_load_relaxed(&pim_region_retained_until) != 0 ||
           pim_load_relaxed(&pim_retained_until) != 0 ||
           pim_load_relaxed(&pim_extent_until) != 0 ||
           pim_load_relaxed(&pim_mi_until) != 0;
}

static bool
has_come(const _Atomic uint64_t *until, uint64_t now)
{
    uint64_t at = pim_load_relaxed(until);
    return at != 0 && now >= at;
}

static void
trim_if_wanted(pim_heap *heap)
{
    if (PIM_UNLIKELY(pim_load_relaxed(&heap->trim_wanted))) {
        pim_store_relaxed(&heap->trim_wanted, false);
        pim_heap_purge(heap, true);
    }
}

// Slow paths and what was handed out drive the return of memory: the heap's
// own, and what is kept for others.  Reading the clock each time would cost more
// than the rest.
static void
look_at_clock(pim_heap *heap)
{
    if (!is_waiting(heap)) {
        return;
    }
    uint64_t now = pim_os->now_ms();
    if (heap->purge.at == PIM_PURGE_LATER) {
        heap->purge.at = now + PIM_PURGE_DELAY_MS;
    }
    if (heap->purge.at != 0 && now >= heap->purge.at) {
        pim_heap_purge(heap, false);
    }
    if (has_come(&pim_region_retained_until, now)) {
        pim_region_trim();
    }
    if (has_come(&pim_retained_until, now)) {
        trim_retained(heap);
    }
    if (has_come(&pim_extent_until, now)) {
        pim_extent_trim(false);
    }
    if (has_come(&pim_mi_until, now)) {
        pim_mi_purge();
    }
}

void
pim_heap_purge_if_due(pim_heap *heap)
{
    if (PIM_UNLIKELY(heap->purge.at_peak)) {
        heap->purge.at_peak = false;
        pim_heap_release_idle(heap);
        if (heap->arenas.idle_units >
            pim_heap_peak_step(pim_load_relaxed(&heap->arenas.dirty_units))) {
            pim_heap_purge(heap, true);
        }
    }
    if (!pim_heap_is_process(heap) && PIM_UNLIKELY(keeps_too_much(heap))) {
        pim_heap_purge(heap, true);
    }
    trim_if_wanted(heap);
    if (PIM_UNLIKELY(heap->purge.calls_until_clock-- == 0)) {
        heap->purge.calls_until_clock = CALLS_UNTIL_CLOCK;
        look_at_clock(heap);
    }
}

void
pim_heap_purge_handed(pim_heap *heap, uint64_t bytes)
{
    heap->purge.handed += bytes;
    if (heap->purge.handed < PIM_CREDIT_MAX) {
        return;
    }
    heap->purge.handed = 0;
    if (is_waiting(heap) || pim_load_relaxed(&heap->trim_wanted)) {
        pim_gate_enter();
        trim_if_wanted(heap);
        look_at_clock(heap);
        pim_gate_exit();
    }
}
