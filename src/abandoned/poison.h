// poison.h -- pages whose blocks nobody may use any more: the policies `poison`
// and `release` (retire.c).
//
// All under the process heap's lock, unless they say otherwise.

#ifndef PIM_ABANDONED_POISON_H
#define PIM_ABANDONED_POISON_H

#include "abandoned/retained.h"
#include "account/account.h"

// The values of enum pimalloc_policy; 0 is like PIM_KEEP.
enum pim_policy { PIM_KEEP = 1, PIM_POISON = 2, PIM_RELEASE = 3 };

// The policy of heaps to come.
extern _Atomic int pim_policy_of_new;

// What was done so far, in the whole process.  Any thread reads.
typedef struct pim_poison_figures {
    _Atomic uint64_t released_blocks;
    _Atomic uint64_t released_bytes;
    _Atomic uint64_t poisoned_blocks; // now
    _Atomic uint64_t poisoned_bytes;
    _Atomic uint64_t late_frees;
} pim_poison_figures;

extern pim_poison_figures pim_poisoned;

// What of a heap that is being retired is about to go.
typedef struct pim_condemned {
    pim_page *pages;               // by `next`
    pim_pending gone[PIM_DOMAINS]; // what was live in them, and in maps
} pim_condemned;

// A page of such a heap, with live blocks, all of them its own: a free that
// looks from now on finds `defunct`, the heap that nobody has.  `policy`: of
// the interpreter.
void pim_condemn_page(pim_condemned *condemned, pim_page *page, int64_t id,
                      int policy, const struct pim_heap *defunct);

// Takes what was pushed onto a condemned page by those who still found the
// heap.
void pim_condemned_collect(pim_condemned *condemned, pim_page *page);

// Nobody pushes any more: the memory of the condemned pages goes.
void pim_condemned_finish(pim_condemned *condemned, int policy);

// Frees a block of a condemned or poisoned page: touches no memory of the page.
void pim_poison_free(pim_page *page, void *block);

#endif // PIM_ABANDONED_POISON_H
