// budget.h -- who may have how much: a tree, for what an interpreter makes
// counts for it, too.
//
//   (top) +- main
//         +- tenant, 64M +- made by it +- made by that
//         |              +- made by it                   64M for these four together
//         +- tenant
//
// Each interpreter with a heap of its own has a budget, which stays when it
// ends and others still count for it.  A heap is *watched* while any budget
// from its own up has a limit.  What a watched heap may have is its *charge*:
// it takes a charge in advance, from all budgets above at once, and asks again
// when that is used up.  So members under different GILs do not meet but for
// that, and the sum holds all the same:
//
//   BUDGET-1  a watched heap's live bytes and free bytes of its current pages
//             are not above its charge, but for what limit.h exempts.
//   BUDGET-2  `charged` of a budget is the sum of the charges, of what ended
//             members left and of credits, over itself and all below it.
//
// One lock guards the tree and what is charged.  A heap's own lock
// (pim_limit.lock) lets somebody who is short of room take back what the heap
// was charged and does not use.  The tree's comes first; both are the last of
// LOCK-2.
//
// Under the tree's lock, all of it, unless a function says otherwise.

#ifndef PIM_ACCOUNT_BUDGET_H
#define PIM_ACCOUNT_BUDGET_H

#include "account/ledger.h"
#include "account/limit.h"
#include "platform/gate.h"

typedef struct pim_budget {
    struct pim_budget *parent;
    struct pim_budget *child; // the youngest; its siblings by `next`
    struct pim_budget *next;
    struct pim_budget *prev;
    pim_limit *member; // the heap's; NULL: the interpreter has ended
    uint64_t serial;   // the heap's; stays until the record is used again
    uint64_t parents;  // serial of the parent
    int64_t id;        // the interpreter's
    bool counts_made;  // those that it makes count for it
    bool reserve_open;
    bool is_over; // more is charged than the soft limit
    pim_limit_terms terms;
    uint64_t soft; // what is charged for requests of any size; 0: no limit
    uint64_t top;  // for small ones, while the reserve is open
    uint64_t closes;
    uint64_t charged;
    uint64_t left;   // by members that ended
    uint64_t credit; // for interpreters that are about to be made
    uint64_t refusals;
} pim_budget;

extern pim_lock pim_budget_lock;

PIM_INLINE void
pim_budget_acquire(void)
{
    pim_gate_enter();
    pim_lock_acquire(&pim_budget_lock);
}

PIM_INLINE void
pim_budget_release(void)
{
    pim_lock_release(&pim_budget_lock);
    pim_gate_exit();
}

PIM_INLINE bool
pim_budget_is_top(const pim_budget *budget)
{
    return budget->parent == NULL;
}

// A budget for a heap that is being opened and will have that serial, below
// another one or, with NULL, below none.  NULL: no memory.
pim_budget *pim_budget_open(pim_limit *member, int64_t id, uint64_t serial,
                            pim_budget *parent);

// Its interpreter has ended and left so much.
void pim_budget_end(pim_budget *budget, uint64_t left);

// The budget of an interpreter that lives, or that others still count for, the
// newest with that id; NULL: there is none.
pim_budget *pim_budget_of(int64_t id);

// The budget with that serial, or the first above it whose interpreter lives;
// NULL: none, or not known any more.
pim_budget *pim_budget_living(pim_budget *budget, uint64_t serial);

// In a child adrift, which has process memory only: all budgets, which may be
// half changed.
void pim_budget_forget_all(void);

// All budgets are below it.  It has no limit and no heap.
pim_budget *pim_budget_root(void);

// Next in a walk of a budget and all below it; NULL: that was the last.
pim_budget *pim_budget_next(pim_budget *at, const pim_budget *root);

// Whether it or one above it has a limit.
bool pim_budget_has_limit(const pim_budget *budget);

bool pim_budget_is_below(const pim_budget *budget, const pim_budget *root);

// Takes a budget with all below it to another place; NULL: below none.
void pim_budget_move(pim_budget *budget, pim_budget *parent);

// Its limit was set or taken away: watches those who have one above now.
void pim_budget_watch(pim_budget *budget);

// A reserve was opened or closed, or the like: who is below asks for each
// request from now on, or not any more.
void pim_budget_restrict(pim_budget *budget);

// Adds to what is charged, here and above; negative: takes away.
void pim_budget_charge(pim_budget *budget, int64_t bytes);

// Sets the charge of a member.
void pim_budget_charge_member(pim_limit *member, uint64_t bytes);

// Takes back what members other than `but` were charged and do not use.
// Returns whether there was any.
bool pim_budget_take_back(pim_budget *budget, const pim_limit *but);

// Has members other than `but` give up what their current pages can still
// serve, if it is much: each keeps one block's worth.  Returns whether it was.
//
// They are told by the end of an epoch (current.h): whoever is current finds
// out anew what heap it has, and on that way obeys.  Until then a fast path
// that had begun may serve one block more.
bool pim_budget_revoke(pim_budget *budget, const pim_limit *but);

// More or less is charged than before, here and above.  Whoever is over a limit
// asks for each request, or else what was charged before a limit was lowered
// could be had.
void pim_budget_look(pim_budget *budget);

// What is live in all that counts here, with what ended members left.
uint64_t pim_budget_live(pim_budget *budget);

// What budgets to come begin with (limit_terms.c).
typedef struct pim_budget_defaults {
    pim_limit_terms terms;
    bool count;         // what they make
    bool count_of_main; // what main makes
} pim_budget_defaults;

extern pim_budget_defaults pim_budget_new;

// --- audit -----------------------------------------------------------------

// Checks BUDGET-2 everywhere.  Any thread, without the lock.
void pim_budget_audit(void);

#endif // PIM_ACCOUNT_BUDGET_H
