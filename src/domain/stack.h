// stack.h -- memory that CPython takes in large chunks past its three domains:
// the stacks of Python frames, a chunk of PIM_UNIT_SIZE at a time, and arenas
// of its own small-block allocator where somebody has that serve a domain.
//
// A chunk is a block of mem, in the account and under the limit of the
// interpreter whose thread state is current.  NULL tells CPython that there is
// no memory.

#ifndef PIM_DOMAIN_STACK_H
#define PIM_DOMAIN_STACK_H

#include "base/compiler.h"

// Who served before, and still serves callers of which no interpreter is known.
typedef struct pim_stack_source {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *piece, size_t size);
} pim_stack_source;

// At install, before the functions below are handed to CPython.
void pim_stack_set_source(pim_stack_source source);

void *pim_stack_alloc(void *ctx, size_t size);
void pim_stack_free(void *ctx, void *piece, size_t size);

#endif // PIM_DOMAIN_STACK_H
