// verdict.h -- whether budgets have room, and what a refusal does.
//
// Under the tree's lock unless a function says otherwise.

#ifndef PIM_ACCOUNT_VERDICT_H
#define PIM_ACCOUNT_VERDICT_H

#include "account/budget.h"

void pim_budget_set_terms(pim_budget *budget, const pim_limit_terms *terms);

// What may still be charged here for requests of that size.
uint64_t pim_budget_room(const pim_budget *budget, size_t size);

// Who has no room for so many bytes more, from this one up, also when others
// give back what they do not use; NULL: all have.  `but` as above.
pim_budget *pim_budget_find_refusing(pim_budget *budget, const pim_limit *but,
                                     size_t size, uint64_t bytes);

// A refusal that its budget's callback is to be told of.
typedef struct pim_notice {
    pimalloc_limit_callback callback; // NULL: nobody is
    void *arg;
    pimalloc_refusal refusal;
} pim_notice;

// Counts a refusal, and opens the reserve, so that the error can be handled.
// asked_by: the interpreter whose request it was.
void pim_budget_refuse(pim_budget *budget, unsigned domain, int64_t asked_by,
                       uint64_t bytes, pim_notice *out);

// Outside the gate.
void pim_notice_tell(const pim_notice *notice);

#endif // PIM_ACCOUNT_VERDICT_H
