// limit_birth.c -- interpreters that a tenant makes: room for them, their place
// in the tree, and their end.

#include "account/verdict.h"

PIM_TLS pim_credit pim_thread_credit;

// Who answers for what a maker makes, which may be a NULL pointer; NULL:
// nobody.  Under the lock.
static pim_budget *
answering_for(const pim_maker *maker)
{
    pim_budget *budget =
        maker != NULL ? pim_budget_living(maker->budget, maker->serial) : NULL;
    return budget != NULL && budget->counts_made ? budget : NULL;
}

// A budget that went has given back what it was charged.
static void
give_credit_back(pim_credit *credit)
{
    pim_budget *budget = credit->maker.budget;
    if (credit->bytes != 0 && budget->serial == credit->maker.serial &&
        budget->credit >= credit->bytes) {
        budget->credit -= credit->bytes;
        pim_budget_charge(budget, -(int64_t)credit->bytes);
    }
    *credit = (pim_credit){.bytes = 0};
}

void
pim_limit_drop_credit(pim_credit *credit)
{
    pim_budget_acquire();
    give_credit_back(credit);
    pim_budget_release();
}

void
pim_limit_drop_all_credits(void)
{
    pim_budget_acquire();
    for (pim_budget *b = pim_budget_next(pim_budget_root(), pim_budget_root());
         b != NULL; b = pim_budget_next(b, pim_budget_root())) {
        pim_budget_charge(b, -(int64_t)b->credit);
        b->credit = 0;
    }
    pim_budget_release();
}

// CPython asks for locks, a thread state and a configuration before the
// interpreter's own first request, under its maker's thread state or under
// none: these requests are spared, up to what an interpreter is taken to need.
bool
pim_limit_admits_birth(const pim_maker *maker, pim_birth_refusal how,
                       pim_credit *credit)
{
    pim_notice notice;
    pim_budget *refusing = NULL;
    pim_budget_acquire();
    give_credit_back(credit);
    pim_budget *budget = answering_for(maker);
    bool is_limited = budget != NULL && pim_budget_has_limit(budget);
    if (is_limited) {
        refusing = pim_budget_find_refusing(budget, NULL, PIM_LIMIT_BIRTH,
                                            PIM_LIMIT_BIRTH);
        if (refusing == NULL) {
            credit->maker = (pim_maker){budget, budget->serial};
            credit->bytes = PIM_LIMIT_BIRTH;
            budget->credit += PIM_LIMIT_BIRTH;
            pim_budget_charge(budget, PIM_LIMIT_BIRTH);
        } else {
            pim_budget_refuse(refusing, PIM_RAW, budget->id, PIM_LIMIT_BIRTH,
                              &notice);
        }
    }
    pim_budget_release();
    bool is_made = refusing == NULL || how != PIM_REFUSE_STATE;
    credit->stillborn = refusing != NULL && how == PIM_REFUSE_LATER;
    credit->spared = is_limited && is_made ? PIM_LIMIT_BIRTH : 0;
    if (refusing != NULL) {
        pim_notice_tell(&notice);
    }
    return is_made;
}

// Under the lock.
static void
become_newborn(pim_limit *limit)
{
    uint64_t own = limit->budget->soft;
    uint64_t bytes = own != 0 && own < PIM_LIMIT_BIRTH ? own : PIM_LIMIT_BIRTH;
    limit->known = 0;
    pim_budget_charge_member(limit, bytes);
    pim_budget_look(limit->budget);
    pim_store_relaxed(&limit->newborn, true);
}

bool
pim_limit_begin(pim_limit *limit, const pim_ledger *ledger, int64_t id,
                uint64_t serial, const pim_maker *maker, pim_credit *credit)
{
    pim_budget_acquire();
    pim_budget *parent = answering_for(maker);
    pim_budget *budget = pim_budget_open(limit, id, serial, parent);
    if (budget != NULL) {
        budget->counts_made =
            id == 0 ? pim_budget_new.count_of_main : pim_budget_new.count;
        pim_lock_init(&limit->lock);
        limit->ledger = *ledger;
        limit->budget = budget;
        pim_budget_set_terms(budget, &pim_budget_new.terms);
        limit->stillborn = credit->stillborn && parent != NULL;
        give_credit_back(credit);
        if (parent != NULL && pim_budget_has_limit(parent) &&
            !limit->stillborn) {
            become_newborn(limit);
        }
    }
    pim_budget_release();
    return budget != NULL;
}

void
pim_limit_born(pim_limit *limit)
{
    pim_gate_enter();
    pim_lock_acquire(&limit->lock);
    pim_store_relaxed(&limit->newborn, false);
    pim_lock_release(&limit->lock);
    pim_gate_exit();
}

bool
pim_limit_is_tenant(const pim_maker *maker)
{
    pim_budget_acquire();
    const pim_budget *budget = pim_budget_living(maker->budget, maker->serial);
    bool is_tenant = budget != NULL && budget->id != 0;
    pim_budget_release();
    return is_tenant;
}

void
pim_limit_end(pim_limit *limit, uint64_t left)
{
    pim_budget_acquire();
    pim_budget_end(limit->budget, left);
    limit->budget = NULL;
    pim_store_relaxed(&limit->watched, false);
    pim_budget_release();
}
