// admit.c -- whether a request is within the limits that its heap is under.
//
// A claim is made before what it is for.  Most are within the charge of the
// heap and take its own lock alone; the others go to the budgets (budget.h),
// which may be charged more, or not.  Who is refused there first takes back
// what others were charged and do not use.
//
// What others freed counts as live until the owner has taken it over, so that
// is done before more is charged.

#include "heap/admit.h"

#include "account/budget.h"
#include "account/verdict.h"
#include "heap/page_list.h"
#include "heap/purge.h"
#include "heap/remote.h"

// What is charged in advance: this part of what is left.
#define ADVANCE 8

bool (*pim_limit_spares)(size_t size);

// --- what the owner has ----------------------------------------------------

typedef struct exposure {
    uint64_t known;   // live bytes, and those at hand
    uint64_t at_hand; // what the fast paths can serve without asking
    uint64_t open;    // size of the current pages
} exposure;

static exposure
expose(const pim_heap *heap)
{
    exposure e = {0};
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        e.known += pim_account_live_bytes(&heap->account[domain_index]);
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            const pim_page *page = heap->current[domain_index][c];
            if (page != &pim_empty_page) {
                e.at_hand += (uint64_t)(page->capacity - pim_page_used(page)) *
                             page->block_size;
                e.open += (uint64_t)page->capacity * page->block_size;
            }
        }
    }
    e.known += e.at_hand;
    return e;
}

// Under the heap's lock, or the budgets'.
static void
note(pim_limit *limit, const exposure *e, uint64_t bytes, bool is_page)
{
    limit->known = e->known + bytes;
    limit->open_bytes = e->open + (is_page ? bytes : 0);
    pim_store_release(&limit->admitted, bytes);
}

// --- budgets ---------------------------------------------------------------
//
// Under their lock.

// Whether a reserve is to be closed, if nothing were at hand of the heap.
static bool
may_close(const pim_budget *budget, const exposure *e)
{
    return budget->reserve_open &&
           budget->charged - e->at_hand <= budget->closes;
}

// Enough was freed.  What is at hand could be served above the soft limit then,
// and nobody would be told, so nothing may be.
static void
close_reserves(pim_heap *heap, exposure *e)
{
    for (pim_budget *b = heap->limit.budget; !pim_budget_is_top(b);
         b = b->parent) {
        if (b->reserve_open) {
            pim_budget_take_back(b, &heap->limit);
        }
        if (may_close(b, e)) {
            pim_heap_shelve_current(heap);
            *e = expose(heap);
            pim_budget_charge_member(&heap->limit, e->known);
            b->reserve_open = false;
            pim_budget_restrict(b);
        }
    }
}

// What is charged in advance beside the bytes of a request.
static uint64_t
advance_for(const pim_budget *budget, uint64_t bytes)
{
    uint64_t room = UINT64_MAX;
    for (; !pim_budget_is_top(budget); budget = budget->parent) {
        uint64_t left = pim_budget_room(budget, PIM_SMALL_MAX + 1);
        room = left < room ? left : room;
    }
    return room > bytes && room != UINT64_MAX ? (room - bytes) / ADVANCE : 0;
}

// --- claims ----------------------------------------------------------------

void
pim_limit_obey(pim_heap *heap)
{
    if (pim_load_acquire(&heap->limit.revoked)) {
        pim_heap_shelve_current(heap);
        pim_store_release(&heap->limit.revoked, false);
    }
}

static bool
claim_from_charge(pim_heap *heap, uint64_t bytes, bool is_page)
{
    pim_limit *limit = &heap->limit;
    pim_limit_obey(heap);
    bool is_newborn = pim_load_relaxed(&limit->newborn);
    if (pim_load_acquire(&limit->strict) && !is_newborn) {
        return false;
    }
    exposure e = expose(heap);
    pim_gate_enter();
    pim_lock_acquire(&limit->lock);
    bool fits = limit->known != PIM_LIMIT_UNKNOWN && e.known <= limit->charge &&
                bytes <= limit->charge - e.known;
    if (fits) {
        note(limit, &e, bytes, is_page);
    }
    pim_lock_release(&limit->lock);
    pim_gate_exit();
    return fits;
}

// Returns who refuses; NULL: it is granted.  Under the lock.
static pim_budget *
claim_from_budgets(pim_heap *heap, size_t size, uint64_t bytes, bool is_page)
{
    pim_limit *limit = &heap->limit;
    if (!pim_limit_is_set(limit)) {
        return NULL; // not any more
    }
    pim_limit_obey(heap);
    exposure e = expose(heap);
    pim_store_relaxed(&limit->newborn, false); // it outgrew what it was given
    pim_budget_charge_member(&heap->limit, e.known);
    pim_budget_look(limit->budget);
    close_reserves(heap, &e);
    pim_budget *refusing =
        pim_budget_find_refusing(limit->budget, limit, size, bytes);
    note(limit, &e, refusing == NULL ? bytes : 0, is_page);
    if (refusing == NULL) {
        uint64_t advance =
            size <= PIM_SMALL_MAX ? advance_for(limit->budget, bytes) : 0;
        pim_budget_charge_member(&heap->limit, e.known + bytes + advance);
    }
    return refusing;
}

// Whether the claim is granted; if not, nobody was told.
static bool
claim(pim_heap *heap, size_t size, uint64_t bytes, bool is_page)
{
    if (claim_from_charge(heap, bytes, is_page)) {
        return true;
    }
    pim_gate_enter();
    pim_heap_drain(heap);
    pim_heap_purge_if_due(heap);
    pim_gate_exit();
    pim_budget_acquire();
    bool granted = claim_from_budgets(heap, size, bytes, is_page) == NULL;
    pim_budget_release();
    return granted;
}

bool
pim_limit_admits_page(pim_heap *heap, uint64_t bytes)
{
    return !heap->limit.stillborn && claim(heap, PIM_SMALL_MAX, bytes, true);
}

bool
pim_limit_admits(pim_heap *heap, size_t size, uint64_t bytes)
{
    if (heap->limit.stillborn) {
        return false;
    }
    if (heap->limit.exempt || claim(heap, size, bytes, false)) {
        return true;
    }
    pim_heap_shelve_current(heap);
    return claim(heap, size, bytes, false);
}

static void
claim_whatever_the_limits_say(pim_heap *heap, uint64_t bytes)
{
    pim_budget_acquire();
    if (pim_limit_is_set(&heap->limit)) {
        exposure e = expose(heap);
        note(&heap->limit, &e, bytes, false);
        pim_budget_charge_member(&heap->limit, e.known + bytes);
        pim_budget_look(heap->limit.budget);
    }
    pim_budget_release();
}

// --- refusals --------------------------------------------------------------

// Whether CPython, or who is on top of us, may not survive the refusal of a raw
// request.
static bool
is_spared(size_t size)
{
    pim_credit *credit = &pim_thread_credit;
    bool is_of_maker = size <= credit->spared;
    credit->spared -= is_of_maker ? size : 0;
    return is_of_maker || (pim_limit_spares != NULL && pim_limit_spares(size));
}

bool
pim_limit_admits_or_reports(pim_heap *heap, unsigned domain, size_t size,
                            uint64_t bytes)
{
    if (pim_limit_admits(heap, size, bytes)) {
        return true;
    }
    if (heap->limit.stillborn) {
        return false; // that was reported
    }
    if (domain == PIM_RAW && is_spared(size)) {
        claim_whatever_the_limits_say(heap, bytes);
        return true;
    }
    pim_notice notice;
    pim_budget_acquire();
    // Another thread may have made room since.
    pim_budget *refusing = claim_from_budgets(heap, size, bytes, false);
    if (refusing != NULL) {
        pim_budget_refuse(refusing, domain, heap->id, bytes, &notice);
    }
    pim_budget_release();
    if (refusing != NULL) {
        pim_notice_tell(&notice);
    }
    return refusing == NULL;
}

void
pim_limit_audit(pim_heap *heap)
{
    const pim_limit *limit = &heap->limit;
    pim_budget_acquire(); // so that nothing is taken back meanwhile
    pim_limit_obey(heap);
    PIM_CHECK(!pim_limit_is_set(limit) || limit->known == PIM_LIMIT_UNKNOWN ||
                  expose(heap).known <= limit->charge,
              "BUDGET-1: a heap has more than it was charged", heap);
    pim_budget_release();
}
