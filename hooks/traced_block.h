// traced_block.h -- a block that is traced.

#ifndef PIM_HOOKS_TRACED_BLOCK_H
#define PIM_HOOKS_TRACED_BLOCK_H

#include "base/compiler.h"

typedef struct pim_record {
    uint32_t stack; // see intern.h; 0: the block is not traced
    bool is_code;   // a code object that frames were named by lies there
    uint64_t bytes; // as asked for
} pim_record;

// What a visit tells of a traced block.
typedef struct pim_traced_block {
    const void *address;
    int64_t interp;  // whose it is now
    unsigned domain; // enum pim_domain
    pim_record record;
} pim_traced_block;

// Returns 0 to go on.
typedef int (*pim_block_visitor)(void *arg, const pim_traced_block *block);

#endif // PIM_HOOKS_TRACED_BLOCK_H
