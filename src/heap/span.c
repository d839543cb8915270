// span.c -- blocks above PIM_SMALL_MAX and up to PIM_SPAN_MAX are spans of
// units.
//
//   arena  ... | span: its only block, in whole units | free | free | page | ...
//                ^ page->state FULL while it is live   ^ it may grow into these
//
// A span has a descriptor like any page, of capacity 1, so the fast path of
// free, remote frees and retirement need not know about it.  It grows in place
// where the units behind it are free.  A block that is grown past
// PIM_SPAN_GROWN becomes a span with free units behind it, so a list that grows
// is seldom copied.
//
// A span shrinks in place, in whole units, as long as that wastes little; else
// the block moves to a class.  A list that grows within its span looks alike,
// so the descriptor keeps what was asked for last.
//
// A freed span is kept for the next request of its length, one for each length
// and no more than PIM_IDLE_SPAN_UNITS in all, until the next purge.  It has no
// owner meanwhile, so that a second free is found.
//
// Owner, as in heap.h.  What changes arenas is inside the gate.
//
// Invariant:
//   SPAN-1  a kept span has no owner and lies in an arena of the heap that
//           keeps it.

#include "heap/span.h"

#include <string.h>

#include "arena/arena_set.h"
#include "heap/admit.h"
#include "heap/free.h"
#include "heap/grow.h"
#include "heap/large.h"
#include "heap/page_list.h"
#include "heap/purge.h"
#include "heap/reclaim.h"
#include "heap/sampled.h"

static unsigned
units_for(size_t size)
{
    return (unsigned)((size + PIM_UNIT_SIZE - 1) >> PIM_UNIT_SHIFT);
}

// Whether a request that needs so many more units is within the limit, if any.
static bool
is_admitted(pim_heap *heap, size_t size, unsigned units)
{
    return !pim_limit_is_set(&heap->limit) ||
           pim_limit_admits(heap, size, (uint64_t)units << PIM_UNIT_SHIFT);
}

// A kept span, made a live block of the domain again; NULL: none is kept.
static pim_page *
reuse(pim_heap *heap, unsigned domain, unsigned units, size_t size)
{
    pim_page *page = heap->idle.spans[units];
    if (page != NULL) {
        heap->idle.spans[units] = NULL;
        heap->idle.span_units -= units;
        page->domain = (uint8_t)domain;
        page->carved = 1;
        page->countdown = 1;
        page->asked = size;
        pim_page_set_owner(page, heap, false);
        page->state = PIM_PAGE_FULL;
    }
    return page;
}

// A span for `size` bytes, with as many as `room` units free behind it for now,
// if there are so many.  *is_zero: none of its own was ever used.
static pim_page *
take(pim_heap *heap, unsigned domain, size_t size, unsigned room, bool *is_zero)
{
    unsigned units = units_for(size);
    pim_gate_enter();
    if (!pim_arena_set_has_span(&heap->arenas, units + room)) {
        pim_heap_reclaim(heap, units + room);
    }
    pim_page *page = pim_heap_take_span(heap, units + room);
    if (page != NULL) {
        if (room != 0) {
            pim_heap_free_units(heap, page + units, room);
        }
        pim_page_open_span(page, heap, domain, units, size);
        pim_own_add(&heap->page_count, 1);
        uint64_t dirty = pim_load_relaxed(&heap->arenas.dirty_units);
        pim_heap_touch(heap, page, 0, page->block_size);
        *is_zero =
            pim_load_relaxed(&heap->arenas.dirty_units) - dirty == units &&
            pim_arena_clean_is_zero();
    }
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
    return page;
}

// Counts the span's block and returns it; NULL for NULL.
static void *
finish(pim_heap *heap, pim_page *page)
{
    if (page != NULL) {
        pim_account_add(&heap->account[PIM_DOMAIN_INDEX(page->domain)],
                        PIM_CLASS_SPAN, page->block_size);
        pim_heap_skip_sample(heap, page->domain); // see sample()
    }
    pim_limit_done(&heap->limit);
    return page != NULL ? pim_page_start(page) : NULL;
}

// A sampled block that takes the place of such a span; NULL: it is not to be
// sampled, or there is none to be had.
static void *
sample(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    size_t bytes = (size_t)units_for(size) << PIM_UNIT_SHIFT;
    uint64_t mark = pim_heap_take_sample(heap, domain, bytes, bytes);
    if (PIM_LIKELY(mark == 0)) {
        return NULL;
    }
    void *marked = pim_large_alloc_marked(heap, domain, size, zero, mark);
    if (marked == NULL) {
        pim_heap_sample_freed(mark);
    }
    return marked;
}

void *
pim_span_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    unsigned units = units_for(size);
    bool is_zero = false;
    void *block = sample(heap, domain, size, zero);
    if (block != NULL || !is_admitted(heap, size, units)) {
        return block;
    }
    pim_page *page = reuse(heap, domain, units, size);
    if (page == NULL) {
        page = take(heap, domain, size, 0, &is_zero);
    }
    block = finish(heap, page);
    return zero && !is_zero && block != NULL ? memset(block, 0, size) : block;
}

void *
pim_span_alloc_growing(pim_heap *heap, unsigned domain, size_t size)
{
    bool ignored;
    unsigned units = units_for(size);
    unsigned room = units > 3 ? units : 3;
    if (room > PIM_SPAN_UNITS - units) {
        room = PIM_SPAN_UNITS - units;
    }
    void *block = sample(heap, domain, size, false);
    if (block != NULL || !is_admitted(heap, size, units)) {
        return block;
    }
    return finish(heap, take(heap, domain, size, room, &ignored));
}

// Whether the block is to shrink, and is better off in a class.
static bool
leaves_span(const pim_page *page, size_t size)
{
    size_t units = (size_t)units_for(size) << PIM_UNIT_SHIFT;
    return size < page->asked && !pim_size_suits(units, pim_size_served(size));
}

// Gives the span another number of units.  False: those behind it are not free.
static bool
set_units(pim_heap *heap, pim_page *page, unsigned wanted)
{
    unsigned units = pim_page_units(page);
    pim_account *account = &heap->account[PIM_DOMAIN_INDEX(page->domain)];
    size_t before = page->block_size;
    size_t after = (size_t)wanted << PIM_UNIT_SHIFT;
    if (wanted > units && !pim_arena_set_extend_span(&heap->arenas, page, units,
                                                     wanted - units)) {
        return false;
    }
    page->block_size = (uint32_t)after;
    pim_account_resize(account, PIM_CLASS_SPAN, before, after);
    if (wanted > units) {
        pim_heap_touch(heap, page, before, after);
    } else {
        pim_heap_free_units(heap, page + wanted, units - wanted);
    }
    return true;
}

bool
pim_span_resize(pim_heap *heap, pim_page *page, size_t size)
{
    bool holds_orphans;
    if (size > PIM_SPAN_MAX || pim_page_owner(page, &holds_orphans) != heap ||
        pim_heap_is_process(heap) || leaves_span(page, size)) {
        return false;
    }
    unsigned units = pim_page_units(page);
    unsigned wanted = units_for(size);
    bool done = true;
    if (wanted > units ||
        !pim_size_suits(page->block_size, pim_size_served(size))) {
        if (wanted > units && !is_admitted(heap, size, wanted - units)) {
            return false;
        }
        pim_gate_enter();
        done = set_units(heap, page, wanted);
        pim_heap_purge_if_due(heap);
        pim_gate_exit();
        pim_limit_done(&heap->limit);
    }
    if (done) {
        page->asked = size;
    }
    return done;
}
