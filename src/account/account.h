// account.h -- what one heap serves in one domain.
//
// The owner counts with plain loads and stores, and only upward: blocks handed
// out and taken back, by size class, and their bytes.
//
//   handed == granted - credit        bytes, of all classes
//   live   == handed - taken
//
// `credit` is what may still be handed out before the owner looks up: malloc
// subtracts and tests the sign, free only adds.  So one branch that is hardly
// ever taken serves all that is to happen now and then.  Looking raises the
// peaks, so those are exact to a credit: PIM_CREDIT_MIN bytes in a small heap,
// and up to PIM_CREDIT_MAX.
//
// Others may not write here, so what they free is counted apart, in `pending`,
// until the owner takes it over:
//
//   live now == live - pending
//
// Where samples are taken, a credit ends with the block in which the next one
// falls: `sample_at` bytes handed out (heap/sampled.h).
//
// A class's bytes follow from its blocks.  Spans and large blocks are two more
// classes.  Their blocks are of many sizes, so their bytes are counted, too:
// `varied`.
//
// Invariants:
//   GAUGE-1    what others read was live at some moment of the read; of a
//              domain's blocks, no more than was.
//   ACCOUNT-1  a domain's live bytes are the sum over its classes whenever
//              nobody is at work.
//
// A block freed by a non-owner is thus gone from the live figures at once; the
// peaks are those of `live`, before the owner took it over.

#ifndef PIM_ACCOUNT_ACCOUNT_H
#define PIM_ACCOUNT_ACCOUNT_H

#include "base/atomic.h"
#include "page/size_class.h"

// What a heap keeps for each domain: mem and obj, which most requests are for,
// come first.
#define PIM_DOMAINS 3
#define PIM_DOMAIN_INDEX(domain)                                               \
    ((domain) == PIM_RAW ? 2u : (unsigned)(domain) - (unsigned)PIM_MEM)
#define PIM_INDEX_DOMAIN(domain_index)                                         \
    ((domain_index) == 2 ? PIM_RAW : (domain_index) + PIM_MEM)

// The id of the process heap, as pimalloc_snapshot.interp; and of the raw heap
// (domain/raw_small.h), another one that belongs to no interpreter.
#define PIM_PROCESS_ID ((int64_t)-1)

// The classes whose blocks are of many sizes.
#define PIM_VARIED (PIM_ACCOUNT_CLASSES - PIM_CLASSES)

// Bytes of such a class.  Owner writes, any thread reads.
typedef struct pim_varied {
    _Atomic uint64_t handed; // also what blocks grew by in place
    _Atomic uint64_t taken;
    _Atomic uint64_t peak; // any thread raises
} pim_varied;

// How much may be handed out between two looks: this part of what is live,
// within bounds.
#define PIM_CREDIT_SHARE 64
#define PIM_CREDIT_MIN ((uint64_t)4 << 10)
#define PIM_CREDIT_MAX ((uint64_t)64 << 10)

// Owner writes, any thread reads.  The hot words lie close together, and the
// fast paths index the classes as they index the heap's pages.
typedef struct pim_account {
    _Atomic int64_t credit; // negative only until the owner has looked
    _Atomic uint64_t taken; // bytes
    _Atomic uint64_t blocks_handed[PIM_ACCOUNT_CLASSES];
    _Atomic uint64_t blocks_taken[PIM_ACCOUNT_CLASSES];
    _Atomic uint64_t granted;
    uint64_t sample_at;       // owner; 0: no sample is awaited
    _Atomic uint32_t looking; // odd while the owner grants a credit
    uint32_t sampled_for;     // owner; whose sample is awaited
    _Atomic uint64_t peak;    // bytes; these three are raised by any thread
    _Atomic uint64_t peak_blocks;
    _Atomic uint64_t class_peak[PIM_ACCOUNT_CLASSES]; // blocks
    pim_varied varied[PIM_VARIED];                    // spans, large blocks
} pim_account;

// What non-owners freed: any thread adds, the owner takes over.
typedef struct pim_pending {
    _Atomic uint64_t bytes; // added last, so it tells whether there is anything
    _Atomic uint64_t blocks[PIM_ACCOUNT_CLASSES];
    _Atomic uint64_t varied_bytes[PIM_VARIED];
} pim_pending;

// Where the accounts of a heap are, for who reads them: PIM_DOMAINS of each.
typedef struct pim_ledger {
    pim_account *account;
    const pim_pending *pending;
    const _Atomic uint32_t *folding; // odd while pending is taken over
} pim_ledger;

// --- samples -----------------------------------------------------------------

// Returns in how many bytes the next sample is due, at least one.  Set by who
// takes samples; NULL: nobody.  Any thread.
extern uint64_t (*_Atomic pim_sample_gap)(void);

// Changes with whatever the gap depends on: what was awaited before is not.
extern _Atomic uint32_t pim_sample_epoch;

// --- the owner's own view ----------------------------------------------------

PIM_INLINE uint64_t
pim_account_handed(const pim_account *account)
{
    return pim_load_relaxed(&account->granted) -
           (uint64_t)pim_load_relaxed(&account->credit);
}

// Whether a sample falls into the block that was just handed out, or into the
// next so many bytes.
PIM_INLINE bool
pim_account_sample_is_due(const pim_account *account, uint64_t ahead)
{
    return PIM_UNLIKELY(account->sample_at != 0) &&
           pim_account_handed(account) + ahead >= account->sample_at &&
           account->sampled_for == pim_load_relaxed(&pim_sample_epoch);
}

PIM_INLINE uint64_t
pim_account_live_bytes(const pim_account *account)
{
    return pim_load_relaxed(&account->granted) -
           (uint64_t)pim_load_relaxed(&account->credit) -
           pim_load_relaxed(&account->taken);
}

PIM_INLINE uint64_t
pim_account_live_blocks(const pim_account *account, size_t size_class)
{
    return pim_load_relaxed(&account->blocks_handed[size_class]) -
           pim_load_relaxed(&account->blocks_taken[size_class]);
}

// --- the fast paths --------------------------------------------------------

// Counts a block for which the credit did not suffice: raises the peaks and
// grants another one.  Returns that, in bytes.
uint64_t pim_account_look(pim_account *account, size_t size_class);

// The sample that was due is taken, or left out: awaits the next one.
void pim_account_await_sample(pim_account *account);

// A class is about to get another page, or the like: raises its peak.
PIM_INLINE void
pim_account_look_at_class(pim_account *account, size_t size_class)
{
    pim_raise_relaxed(&account->class_peak[size_class],
                      pim_account_live_blocks(account, size_class));
}

// Counts a block of a class, but not its bytes if the class is a varied one.
// False: the credit is used up, and the caller has to look.
PIM_INLINE bool
pim_account_hand(pim_account *account, size_t size_class, uint64_t bytes)
{
    if (!PIM_ACCOUNTS) {
        return true;
    }
    if (PIM_UNLIKELY(
            pim_own_sub_below_zero(&account->credit, (int64_t)bytes))) {
        return false;
    }
    pim_own_count_fast(&account->blocks_handed[size_class], 1);
    return true;
}

PIM_INLINE void
pim_account_take(pim_account *account, size_t size_class, uint64_t bytes)
{
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_own_count_fast(&account->taken, bytes);
    pim_own_count_fast(&account->blocks_taken[size_class], 1);
}

// --- any class -------------------------------------------------------------
//
// Of the account's owner, but for pim_pending_add().

void pim_account_add(pim_account *account, size_t size_class, uint64_t bytes);
void pim_account_remove(pim_account *account, size_t size_class,
                        uint64_t bytes);

// What pim_account_take() left out: the bytes of a varied class.
void pim_account_take_varied(pim_account *account, size_t size_class,
                             uint64_t bytes);

// A block of a varied class became shorter or longer where it is.
void pim_account_resize(pim_account *account, size_t size_class,
                        uint64_t before, uint64_t after);

// Counts a block that a non-owner frees.  Any thread.
void pim_pending_add(pim_pending *pending, size_t size_class, uint64_t bytes);

// The same of so many blocks of one size, which may be negative: taken back.
void pim_pending_add_blocks(pim_pending *pending, size_t size_class,
                            uint64_t block_bytes, int64_t blocks);

// Takes over what is pending.
void pim_account_fold(pim_account *account, pim_pending *pending);

// Takes off the account what is pending, which stays so.
void pim_account_subtract(pim_account *account, pim_pending *pending);

// Adds what is live in one account to another, where it was not handed out, so
// there less counts as taken back.  The first stays as it is.
void pim_account_add_live(pim_account *to, const pim_account *from);

#endif // PIM_ACCOUNT_ACCOUNT_H
