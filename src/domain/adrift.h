// adrift.h -- a forked child that trusts nothing of what threads share.
//
// A thread was inside the gate at the moment of the fork (gate.h), so heaps,
// lists, mimalloc and what is counted may be half changed.  The child touches
// none of it any more, for ever:
//
//   malloc    libc's, which is whole in every child, with a header in front
//   free      of such a block: libc's; of one that was inherited: nothing, it
//             is lost
//   realloc   a new block; what the old one holds is as it was
//
// No interpreter is known, so fast paths find no heap and come to these
// functions, and there are no figures but the process's.

#ifndef PIM_DOMAIN_ADRIFT_H
#define PIM_DOMAIN_ADRIFT_H

#include "platform/gate.h"

// Sees to that from now on.  At install.
void pim_adrift_start(void);

// The rules are those of domain.h.  Only if pim_gate_is_adrift().
void *pim_adrift_malloc(size_t size, bool zero);

// False: the block is neither one of these nor inherited.  `block` is not NULL.
bool pim_adrift_free(void *block);

// Of a block outside the region.  NULL: no memory, or as above; then *is_ours
// is false.
void *pim_adrift_realloc(void *block, size_t size, bool *is_ours);

#endif // PIM_DOMAIN_ADRIFT_H
