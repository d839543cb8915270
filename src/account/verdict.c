// verdict.c -- whether budgets have room, and what a refusal does.

#include "account/verdict.h"

#include "base/keep_errno.h"

// The reserve where there is no hard limit, and how far below the soft limit it
// closes at most: this part of the soft limit.
#define SHARE 16
#define RESERVE_MIN ((uint64_t)1 << 20)

// What may be charged now for requests of that size.
static uint64_t
ceiling(const pim_budget *budget, size_t size)
{
    return budget->reserve_open && size <= PIM_SMALL_MAX ? budget->top
                                                         : budget->soft;
}

uint64_t
pim_budget_room(const pim_budget *budget, size_t size)
{
    uint64_t most = ceiling(budget, size);
    return budget->soft == 0        ? UINT64_MAX
           : most > budget->charged ? most - budget->charged
                                    : 0;
}

// Who has no room for so many more bytes; NULL: all have.
static pim_budget *
find_refusing(pim_budget *budget, size_t size, uint64_t bytes)
{
    while (!pim_budget_is_top(budget) &&
           bytes <= pim_budget_room(budget, size)) {
        budget = budget->parent;
    }
    return pim_budget_is_top(budget) ? NULL : budget;
}

pim_budget *
pim_budget_find_refusing(pim_budget *budget, const pim_limit *but, size_t size,
                         uint64_t bytes)
{
    pim_budget *refusing = find_refusing(budget, size, bytes);
    while (refusing != NULL && (pim_budget_take_back(refusing, but) ||
                                pim_budget_revoke(refusing, but))) {
        refusing = find_refusing(budget, size, bytes);
    }
    return refusing;
}

void
pim_budget_refuse(pim_budget *budget, unsigned domain, int64_t asked_by,
                  uint64_t bytes, pim_notice *out)
{
    const pim_limit_terms *terms = &budget->terms;
    budget->refusals++;
    if (!budget->reserve_open) {
        budget->reserve_open = true;
        pim_budget_restrict(budget);
    }
    out->callback = terms->callback;
    out->arg = terms->arg;
    out->refusal = (pimalloc_refusal){
        .size = sizeof(out->refusal),
        .interp = budget->id,
        .domain = (int)domain,
        .is_hard = terms->hard_bytes != 0 &&
                   budget->charged + bytes > terms->hard_bytes,
        .bytes = bytes,
        .live_bytes = pim_budget_live(budget),
        .soft_bytes = terms->soft_bytes,
        .hard_bytes = terms->hard_bytes,
        .refusals = budget->refusals,
        .asked_by = asked_by,
    };
}

void
pim_notice_tell(const pim_notice *notice)
{
    PIM_KEEP_ERRNO; // the request may be served all the same
    PIM_ASSERT(!pim_gate_is_inside());
    if (notice->callback != NULL) {
        notice->callback(notice->arg, &notice->refusal);
    }
}

// --- terms -----------------------------------------------------------------

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

void
pim_budget_set_terms(pim_budget *budget, const pim_limit_terms *terms)
{
    bool none = terms->soft_bytes == 0 && terms->hard_bytes == 0;
    budget->terms = *terms;
    budget->top = none ? 0 : top_of(terms);
    budget->soft = terms->soft_bytes != 0 ? terms->soft_bytes : budget->top;
    budget->closes = none ? 0 : closes_at(budget->soft, budget->top);
    budget->reserve_open &= !none;
    pim_budget_watch(budget);
    pim_budget_take_back(budget, NULL); // what was charged in advance
    pim_budget_look(budget);
}
