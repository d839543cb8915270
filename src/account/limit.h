// limit.h -- how much one heap may serve, and those that count for it with it.
//
//   live bytes   0 ............ soft ............ top
//     closed       all served    | nothing
//     open         all served    | small ones      | nothing
//
// `top` is the hard limit, or without one the end of a reserve.  The reserve is
// opened by a refusal, so that the error can be handled, and closes when enough
// was freed; so each time that a script crosses the soft limit it is told once.
//
// Live are the bytes of all interpreters that count for the one that has the
// limit (budget.h).
//
// Fast paths do not look.  What they can serve without asking, from the current
// pages of the heap, is counted as if it were live; near a limit there are no
// current pages, and blocks are served one by one:
//
//   LIMIT-1  live bytes + free bytes of current pages are not above the limit,
//            as long as it is not lowered; then, once a request was refused.
//
// Exempt are a block that is moved to shrink, for a moment; what a wrapper
// above us notes, whose failure may end the process (pim_limit_spares); and an
// interpreter that is being made, for CPython does not survive a refusal then:
// room for it is charged before (pim_limit_admits_birth).
//
// Owner, as in heap.h, unless a function says otherwise.

#ifndef PIM_ACCOUNT_LIMIT_H
#define PIM_ACCOUNT_LIMIT_H

#include "account/account.h"
#include "pimalloc/tenants.h"
#include "platform/lock.h"

struct pim_budget;

// What pimalloc_limit_set() was told.
typedef struct pim_limit_terms {
    uint64_t soft_bytes; // 0: none, as below
    uint64_t hard_bytes;
    pimalloc_limit_callback callback;
    void *arg;
} pim_limit_terms;

// `known` of a heap that has claimed nothing since it is watched.
#define PIM_LIMIT_UNKNOWN UINT64_MAX

// A heap's part of the budgets that it counts for.
typedef struct pim_limit {
    pim_ledger ledger; // the heap's

    // Written under the budgets' lock, read by the owner.
    _Atomic bool watched;      // a limit counts it
    _Atomic bool strict;       // a reserve is open: each request is looked at
    struct pim_budget *budget; // for the heap's life; NULL: never limited

    // Under `lock`.
    pim_lock lock;
    uint64_t charge;     // what it may have without asking
    uint64_t known;      // when it last claimed: what it has, with that
    uint64_t open_bytes; // ... and the size of its current pages

    _Atomic uint64_t admitted; // claimed and perhaps not live yet; owner writes
    _Atomic bool revoked;      // its current pages are not to be used any more
    _Atomic bool newborn;      // being made by CPython: see pim_limit_born()
    bool exempt;               // owner: a block is being moved to shrink
    bool stillborn;            // owner: there was no room for it; see below
} pim_limit;

PIM_INLINE bool
pim_limit_is_set(const pim_limit *limit)
{
    return PIM_UNLIKELY(pim_load_relaxed(&limit->watched));
}

// What was claimed last is in the account now, or is not needed.
PIM_INLINE void
pim_limit_done(pim_limit *limit)
{
    if (pim_limit_is_set(limit)) {
        pim_store_release(&limit->admitted, 0);
    }
}

// --- terms -----------------------------------------------------------------

// Whether they make sense.
bool pim_limit_terms_are_valid(const pim_limit_terms *terms);

// Changes the terms of a heap that stays for as long as this takes.  Any
// thread, inside the gate.
void pim_limit_set(pim_limit *limit, const pim_limit_terms *terms);

// What is to be known of a limit.
typedef struct pim_limit_figures {
    pim_limit_terms terms;
    int64_t interp;
    int64_t parent; // whom it counts for; PIM_PROCESS_ID: nobody
    bool counts_made;
    uint64_t refusals;
    uint64_t tree_bytes; // live in all that counts for it, itself included
    uint64_t left_bytes; // of these, what ended ones left
} pim_limit_figures;

void pim_limit_get(const pim_limit *limit, pim_limit_figures *out);

// The same of an interpreter that has ended, but that others still count for.
// False: there is none with that id.  Any thread.
bool pim_limit_set_ended(int64_t id, const pim_limit_terms *terms);
bool pim_limit_get_ended(int64_t id, pim_limit_figures *out);

// The terms of heaps to come.  With `by_environment` nothing changes what a
// program has set.  Any thread.
void pim_limit_set_default(const pim_limit_terms *terms, bool by_environment);
void pim_limit_get_default(pim_limit_terms *out);

// --- who counts for whom ---------------------------------------------------

// Whether interpreters that this one makes from now on count for it.  Any
// thread, inside the gate.
void pim_limit_count_made(pim_limit *limit, bool count);

// The same for those to come; main's children count for nobody by default.
// With `by_environment` nothing changes what a program has set.  Any thread.
void pim_limit_count_by_default(bool count, bool by_environment);
bool pim_limit_counts_by_default(void);

// Whether what main makes counts for it, if it is still to come.  Any thread.
void pim_limit_count_of_main(bool count);

// Has an interpreter, and all that count for it, count for another one from now
// on; PIM_PROCESS_ID: for nobody.  0; -ENOENT: none of them lives, or is
// counted for; -EINVAL: it is main, or the other one counts for it.  Any
// thread.
int pim_limit_count_for(int64_t id, int64_t parent);

// --- birth and end ---------------------------------------------------------

// Who is taken to make the next interpreter in a thread: whose thread state was
// last current.  It may have ended since.
typedef struct pim_maker {
    struct pim_budget *budget;
    uint64_t serial; // 0: nobody
} pim_maker;

// Room that was charged to a maker for an interpreter that is about to be made.
typedef struct pim_credit {
    pim_maker maker;
    uint64_t bytes; // 0: none
    bool stillborn; // there was no room for one
    uint64_t
        spared; // bytes of raw requests that are served whatever the limits say
} pim_credit;

// The calling thread's.
extern PIM_TLS pim_credit pim_thread_credit;

// What CPython survives where there is no room for an interpreter.
typedef enum pim_birth_refusal {
    PIM_REFUSE_STATE, // that the state is refused
    PIM_REFUSE_LATER, // that all which the interpreter asks for is refused, from its
                      // first request on: it is stillborn
    PIM_REFUSE_NOT, // nothing: one is made over the limit, and what follows refused
} pim_birth_refusal;

// Whether the maker, that is whom it counts for, has room for one more: CPython
// is about to ask for its state.  If not, counts and reports the refusal; else
// *credit has it.  What *credit had before is given back.  True: the state is
// to be served.  Any thread, outside the gate.
bool pim_limit_admits_birth(const pim_maker *maker, pim_birth_refusal how,
                            pim_credit *credit);

// The interpreter was not made, or has another's heap.  Any thread.
void pim_limit_drop_credit(pim_credit *credit);

// In a forked child, whose other threads are gone: all credits.
void pim_limit_drop_all_credits(void);

// Gives a heap that is being opened, and will have that id and serial, the
// terms of those to come and its place below its maker.  The room for a newborn
// becomes its charge, also if there was no credit.  False: no memory.  Inside
// the gate.
bool pim_limit_begin(pim_limit *limit, const pim_ledger *ledger, int64_t id,
                     uint64_t serial, const pim_maker *maker,
                     pim_credit *credit);

// CPython is done with the making.  Any thread.
void pim_limit_born(pim_limit *limit);

// Whether a maker lives, or others count for it, and is not main: then it
// answers for what it makes, which is not to share main's memory.  Any thread.
bool pim_limit_is_tenant(const pim_maker *maker);

// Its interpreter has ended and left so many bytes in mem and obj.  Inside the
// gate.
void pim_limit_end(pim_limit *limit, uint64_t left);

#endif // PIM_ACCOUNT_LIMIT_H
