// limit.c -- whether a request is within the limit of its heap.
//
// What others freed counts as live until the owner has taken it over, so that is
// done before a request is refused.
//
// One lock guards the terms of all heaps.  It is taken when they are set and when
// a refusal is reported, never to find out whether there is one: the three numbers
// for that are stored so that a request in between sees old or new ones, or the
// wider of both.

#include "heap/limit.h"

#include "heap/heap.h"

// The reserve where there is no hard limit, and how far below the soft limit it
// closes at most: this part of the soft limit.
#define SHARE 16
#define RESERVE_MIN ((uint64_t)1 << 20)

static PIM_LOCK(limit_lock);
static pim_limit_terms default_terms;
static bool default_is_chosen; // by the program

// --- the owner's side ------------------------------------------------------

static uint64_t
live_bytes(const pim_heap *heap)
{
    uint64_t sum = 0;
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        sum += pim_gauge_live(&heap->account[slot].bytes);
    }
    return sum;
}

// What the fast paths can serve without asking.
static uint64_t
at_hand(const pim_heap *heap)
{
    uint64_t sum = 0;
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            const pim_page *page = heap->current[slot][c];
            if (page != &pim_empty_page) {
                sum += (uint64_t)(page->capacity - pim_page_used(page)) *
                       page->block_size;
            }
        }
    }
    return sum;
}

// What live bytes may be now for requests of that size.
static uint64_t
ceiling(const pim_limit *limit, size_t size)
{
    return limit->reserve_open && size <= PIM_SMALL_MAX
               ? pim_load_relaxed(&limit->top)
               : pim_load_relaxed(&limit->soft);
}

static bool
fits(const pim_heap *heap, size_t size, uint64_t bytes)
{
    uint64_t live = live_bytes(heap);
    uint64_t most = ceiling(&heap->limit, size);
    return live <= most && bytes <= most - live;
}

static void
close_reserve_if_due(pim_heap *heap)
{
    pim_limit *limit = &heap->limit;
    if (limit->reserve_open &&
        live_bytes(heap) <= pim_load_relaxed(&limit->closes)) {
        limit->reserve_open = false;
    }
}

bool
pim_limit_admits(pim_heap *heap, size_t size, uint64_t bytes)
{
    if (heap->limit.exempt) {
        return true;
    }
    close_reserve_if_due(heap);
    if (fits(heap, size, bytes)) {
        return true;
    }
    pim_gate_enter();
    pim_heap_drain(heap);
    pim_gate_exit();
    close_reserve_if_due(heap);
    return fits(heap, size, bytes);
}

bool
pim_limit_admits_page(const pim_heap *heap, uint64_t bytes)
{
    return fits(heap, 0, at_hand(heap) + bytes);
}

static void
report(pim_heap *heap, unsigned domain, uint64_t bytes, uint64_t live)
{
    pim_limit_terms terms;
    pim_limit_get(heap, &terms);
    if (terms.callback == NULL) {
        return;
    }
    const pimalloc_refusal refusal = {
        .size = sizeof(refusal),
        .interp = heap->id,
        .domain = (int)domain,
        .is_hard = terms.hard_bytes != 0 && live + bytes > terms.hard_bytes,
        .bytes = bytes,
        .live_bytes = live,
        .soft_bytes = terms.soft_bytes,
        .hard_bytes = terms.hard_bytes,
        .refusals = pim_load_relaxed(&heap->limit.refusals),
    };
    terms.callback(terms.arg, &refusal);
}

bool
pim_limit_admits_or_reports(pim_heap *heap, unsigned domain, size_t size,
                            uint64_t bytes)
{
    if (pim_limit_admits(heap, size, bytes)) {
        return true;
    }
    PIM_ASSERT(!pim_gate_is_inside());
    pim_own_add(&heap->limit.refusals, 1);
    heap->limit.reserve_open = true;
    pim_heap_shelve_current(heap);
    report(heap, domain, bytes, live_bytes(heap));
    return false;
}

// --- the terms -------------------------------------------------------------

bool
pim_limit_terms_are_valid(const pim_limit_terms *terms)
{
    return terms->hard_bytes == 0 || terms->soft_bytes <= terms->hard_bytes;
}

static uint64_t
top_of(const pim_limit_terms *terms)
{
    uint64_t soft = terms->soft_bytes;
    uint64_t reserve = soft / SHARE > RESERVE_MIN ? soft / SHARE : RESERVE_MIN;
    if (terms->hard_bytes != 0) {
        return terms->hard_bytes;
    }
    return soft > UINT64_MAX - reserve ? UINT64_MAX : soft + reserve;
}

static uint64_t
closes_at(uint64_t soft, uint64_t top)
{
    uint64_t below = top - soft < soft / SHARE ? top - soft : soft / SHARE;
    return soft - below;
}

// Under the lock.  What is wider is stored first.
static void
apply(pim_limit *limit, const pim_limit_terms *terms)
{
    bool none = terms->soft_bytes == 0 && terms->hard_bytes == 0;
    uint64_t top = none ? 0 : top_of(terms);
    uint64_t soft = terms->soft_bytes != 0 ? terms->soft_bytes : top;
    limit->terms = *terms;
    if (none) {
        pim_store_release(&limit->soft, 0);
        return;
    }
    pim_store_release(&limit->closes, closes_at(soft, top));
    if (top > pim_load_relaxed(&limit->top)) {
        pim_store_release(&limit->top, top);
        pim_store_release(&limit->soft, soft);
    } else {
        pim_store_release(&limit->soft, soft);
        pim_store_release(&limit->top, top);
    }
}

void
pim_limit_set(pim_heap *heap, const pim_limit_terms *terms)
{
    pim_lock_acquire(&limit_lock);
    apply(&heap->limit, terms);
    pim_lock_release(&limit_lock);
}

void
pim_limit_get(const pim_heap *heap, pim_limit_terms *out)
{
    pim_gate_enter();
    pim_lock_acquire(&limit_lock);
    *out = heap->limit.terms;
    pim_lock_release(&limit_lock);
    pim_gate_exit();
}

void
pim_limit_set_default(const pim_limit_terms *terms, bool by_environment)
{
    pim_gate_enter();
    pim_lock_acquire(&limit_lock);
    if (!by_environment || !default_is_chosen) {
        default_terms = *terms;
        default_is_chosen = !by_environment;
    }
    pim_lock_release(&limit_lock);
    pim_gate_exit();
}

void
pim_limit_get_default(pim_limit_terms *out)
{
    pim_gate_enter();
    pim_lock_acquire(&limit_lock);
    *out = default_terms;
    pim_lock_release(&limit_lock);
    pim_gate_exit();
}

void
pim_limit_begin(pim_heap *heap)
{
    pim_lock_acquire(&limit_lock);
    apply(&heap->limit, &default_terms);
    pim_lock_release(&limit_lock);
}
