// budget.c -- the tree of budgets, and what is charged in it.

#include "account/budget.h"

#include "platform/epoch.h"
#include "platform/os.h"

PIM_LOCK(pim_budget_lock);

// All budgets are below it; it has no limit, and its serial is no heap's.
static pim_budget top_budget;

// Records that nobody uses, the one that was given up last in the end: a thread
// may still know an interpreter that ended by its record; see
// pim_budget_living().
static pim_budget *pool_first;
static pim_budget **pool_last = &pool_first;

// --- the tree --------------------------------------------------------------

static pim_budget *
take_record(void)
{
    if (pool_first == NULL) {
        size_t bytes =
            pim_align_up(64 * sizeof(pim_budget), pim_os_page_size());
        pim_budget *chunk = pim_os->map(bytes);
        for (size_t i = 0; chunk != NULL && i < bytes / sizeof(*chunk); i++) {
            *pool_last = &chunk[i];
            pool_last = &chunk[i].next;
        }
    }
    pim_budget *budget = pool_first;
    if (budget != NULL) {
        pool_first = budget->next;
        if (pool_first == NULL) {
            pool_last = &pool_first;
        }
    }
    return budget;
}

static void
give_record(pim_budget *budget)
{
    budget->next = NULL;
    *pool_last = budget;
    pool_last = &budget->next;
}

static void
link_below(pim_budget *budget, pim_budget *parent)
{
    budget->parent = parent;
    budget->parents = parent->serial;
    budget->prev = NULL;
    budget->next = parent->child;
    if (parent->child != NULL) {
        parent->child->prev = budget;
    }
    parent->child = budget;
}

static void
unlink_budget(pim_budget *budget)
{
    if (budget->prev != NULL) {
        budget->prev->next = budget->next;
    } else {
        budget->parent->child = budget->next;
    }
    if (budget->next != NULL) {
        budget->next->prev = budget->prev;
    }
}

pim_budget *
pim_budget_root(void)
{
    return &top_budget;
}

pim_budget *
pim_budget_next(pim_budget *at, const pim_budget *root)
{
    if (at->child != NULL) {
        return at->child;
    }
    while (at != root && at->next == NULL) {
        at = at->parent;
    }
    return at != root ? at->next : NULL;
}

bool
pim_budget_is_below(const pim_budget *budget, const pim_budget *root)
{
    while (budget != root && budget != NULL) {
        budget = budget->parent;
    }
    return budget != NULL;
}

pim_budget *
pim_budget_of(int64_t id)
{
    pim_budget *found = NULL;
    for (pim_budget *b = &top_budget; b != NULL;
         b = pim_budget_next(b, &top_budget)) {
        if (b != &top_budget && b->id == id &&
            (found == NULL || b->serial > found->serial)) {
            found = b;
        }
    }
    return found;
}

// Its interpreter lives, or others count for it.
static bool
is_in_use(const pim_budget *budget)
{
    return budget->member != NULL || budget->child != NULL ||
           pim_budget_is_top(budget);
}

pim_budget *
pim_budget_living(pim_budget *budget, uint64_t serial)
{
    while (serial != 0 && budget->serial == serial && budget->member == NULL) {
        serial = budget->parents;
        budget = budget->parent;
    }
    return serial != 0 && budget->serial == serial ? budget : NULL;
}

void
pim_budget_forget_all(void)
{
    top_budget.child = NULL;
    pool_first = NULL;
    pool_last = &pool_first;
}

// --- what is charged -------------------------------------------------------

void
pim_budget_charge(pim_budget *budget, int64_t bytes)
{
    for (; !pim_budget_is_top(budget); budget = budget->parent) {
        budget->charged += (uint64_t)bytes;
    }
}

void
pim_budget_charge_member(pim_limit *member, uint64_t bytes)
{
    pim_budget_charge(member->budget, (int64_t)(bytes - member->charge));
    member->charge = bytes;
}

// A heap that has not claimed anything yet since it is watched is taken to have
// what is live; what its current pages can serve, it knows alone.
static bool
take_back_from(pim_limit *limit)
{
    uint64_t live;
    bool less = false;
    pim_lock_acquire(&limit->lock);
    // Read first: if it is in the account already, it is in `live`.
    uint64_t admitted = pim_load_acquire(&limit->admitted);
    bool is_exact = pim_ledger_live_bytes(&limit->ledger, &live);
    if (limit->known == PIM_LIMIT_UNKNOWN) {
        pim_budget_charge_member(limit, live);
    } else if (!pim_load_relaxed(&limit->newborn)) {
        uint64_t most = live + limit->open_bytes + admitted;
        uint64_t needed = is_exact && most < limit->known ? most : limit->known;
        less = needed < limit->charge;
        if (less) {
            pim_budget_charge_member(limit, needed);
        }
    }
    pim_lock_release(&limit->lock);
    return less;
}

static bool
is_watched(const pim_limit *limit)
{
    return limit != NULL && pim_load_relaxed(&limit->watched);
}

bool
pim_budget_take_back(pim_budget *budget, const pim_limit *but)
{
    bool any = false;
    for (pim_budget *b = budget; b != NULL; b = pim_budget_next(b, budget)) {
        if (b->member != but && is_watched(b->member)) {
            any |= take_back_from(b->member);
        }
    }
    return any;
}

// --- revoking --------------------------------------------------------------

// What is much: this part of the limit.
#define MUCH 64

// What a heap needs if it gives up its current pages.
static uint64_t
without_pages(const pim_limit *limit)
{
    uint64_t live;
    uint64_t admitted = pim_load_acquire(&limit->admitted);
    return pim_ledger_live_bytes(&limit->ledger, &live)
               ? live + admitted + PIM_SMALL_MAX
               : PIM_LIMIT_UNKNOWN;
}

// How much less that is than it was charged.
static uint64_t
revocable(pim_limit *limit)
{
    pim_lock_acquire(&limit->lock);
    uint64_t needed = limit->known == PIM_LIMIT_UNKNOWN ||
                              pim_load_relaxed(&limit->newborn) ||
                              pim_load_relaxed(&limit->revoked)
                          ? PIM_LIMIT_UNKNOWN
                          : without_pages(limit);
    uint64_t bytes = needed < limit->charge ? limit->charge - needed : 0;
    pim_lock_release(&limit->lock);
    return bytes;
}

// The sum over a budget's members; `revoke`: and tells them.
static uint64_t
sum_revocable(pim_budget *budget, const pim_limit *but, bool revoke)
{
    uint64_t sum = 0;
    for (pim_budget *b = budget; b != NULL; b = pim_budget_next(b, budget)) {
        if (b->member != but && is_watched(b->member)) {
            uint64_t bytes = revocable(b->member);
            sum += bytes;
            if (revoke && bytes != 0) {
                pim_store_release(&b->member->revoked, true);
            }
        }
    }
    return sum;
}

static void
charge_revoked(pim_limit *limit)
{
    pim_lock_acquire(&limit->lock);
    uint64_t needed = without_pages(limit);
    if (pim_load_relaxed(&limit->revoked) && needed < limit->known) {
        limit->known = needed;
        limit->open_bytes = PIM_SMALL_MAX;
        if (needed < limit->charge) {
            pim_budget_charge_member(limit, needed);
        }
    }
    pim_lock_release(&limit->lock);
}

bool
pim_budget_revoke(pim_budget *budget, const pim_limit *but)
{
    if (sum_revocable(budget, but, false) <= budget->soft / MUCH) {
        return false;
    }
    sum_revocable(budget, but, true);
    atomic_fetch_add(&pim_epoch, 1);
    for (pim_budget *b = budget; b != NULL; b = pim_budget_next(b, budget)) {
        if (b->member != but && is_watched(b->member)) {
            charge_revoked(b->member);
        }
    }
    return true;
}

uint64_t
pim_budget_live(pim_budget *budget)
{
    uint64_t sum = 0;
    uint64_t live;
    for (pim_budget *b = budget; b != NULL; b = pim_budget_next(b, budget)) {
        sum += b->left;
        if (b->member != NULL) {
            pim_ledger_live_bytes(&b->member->ledger, &live);
            sum += live;
        }
    }
    return sum;
}

// --- who is watched --------------------------------------------------------

bool
pim_budget_has_limit(const pim_budget *budget)
{
    while (budget->soft == 0 && !pim_budget_is_top(budget)) {
        budget = budget->parent;
    }
    return budget->soft != 0;
}

static bool
must_ask(const pim_budget *budget)
{
    while (!budget->reserve_open && !budget->is_over &&
           !pim_budget_is_top(budget)) {
        budget = budget->parent;
    }
    return !pim_budget_is_top(budget);
}

static void
watch_member(pim_limit *limit, bool watched)
{
    uint64_t live = 0;
    if (watched == pim_load_relaxed(&limit->watched)) {
        return;
    }
    if (watched) {
        pim_ledger_live_bytes(&limit->ledger, &live);
    }
    pim_lock_acquire(&limit->lock);
    limit->known = PIM_LIMIT_UNKNOWN;
    pim_store_relaxed(&limit->newborn, false);
    pim_budget_charge_member(limit, live);
    pim_lock_release(&limit->lock);
    pim_store_release(&limit->watched, watched);
}

void
pim_budget_watch(pim_budget *budget)
{
    for (pim_budget *b = budget; b != NULL; b = pim_budget_next(b, budget)) {
        if (b->member != NULL) {
            watch_member(b->member, pim_budget_has_limit(b));
        }
    }
    pim_budget_restrict(budget);
}

void
pim_budget_restrict(pim_budget *budget)
{
    for (pim_budget *b = budget; b != NULL; b = pim_budget_next(b, budget)) {
        if (b->member != NULL) {
            pim_store_release(&b->member->strict, must_ask(b));
        }
    }
}

void
pim_budget_look(pim_budget *budget)
{
    for (pim_budget *b = budget; !pim_budget_is_top(b); b = b->parent) {
        bool is_over = b->soft != 0 && b->charged > b->soft;
        if (is_over != b->is_over) {
            b->is_over = is_over;
            pim_budget_restrict(b);
        }
    }
}

void
pim_budget_move(pim_budget *budget, pim_budget *parent)
{
    int64_t bytes = (int64_t)budget->charged;
    pim_budget_charge(budget->parent, -bytes);
    unlink_budget(budget);
    link_below(budget, parent != NULL ? parent : &top_budget);
    pim_budget_charge(budget->parent, bytes);
    pim_budget_watch(budget);
    pim_budget_look(budget);
}

// --- birth and end ---------------------------------------------------------

pim_budget *
pim_budget_open(pim_limit *member, int64_t id, uint64_t serial,
                pim_budget *parent)
{
    pim_budget *budget = take_record();
    if (budget != NULL) {
        *budget = (pim_budget){.member = member, .serial = serial, .id = id};
        link_below(budget, parent != NULL ? parent : &top_budget);
    }
    return budget;
}

// A budget that nobody counts for any more goes, and what its members left
// counts for whom they counted for.
static void
close_unused(pim_budget *budget)
{
    while (!is_in_use(budget)) {
        pim_budget *parent = budget->parent;
        pim_budget_charge(parent, -(int64_t)budget->credit);
        budget->credit = 0;
        if (!pim_budget_is_top(parent)) {
            parent->left += budget->left;
        }
        unlink_budget(budget);
        give_record(budget);
        budget = parent;
    }
}

void
pim_budget_end(pim_budget *budget, uint64_t left)
{
    pim_budget_charge_member(budget->member, 0);
    pim_budget_charge(budget, (int64_t)left);
    budget->left += left;
    budget->member = NULL;
    close_unused(budget);
}

// --- audit -----------------------------------------------------------------

void
pim_budget_audit(void)
{
    pim_budget_acquire();
    for (pim_budget *b = top_budget.child; b != NULL;
         b = pim_budget_next(b, &top_budget)) {
        uint64_t sum = 0;
        for (pim_budget *m = b; m != NULL; m = pim_budget_next(m, b)) {
            sum += m->left + m->credit +
                   (m->member != NULL ? m->member->charge : 0);
        }
        PIM_CHECK(sum == b->charged, "BUDGET-2: a charge got lost", b);
    }
    pim_budget_release();
}
