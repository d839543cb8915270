// shadow.h -- what the checked mode (check.c) knows of every block.
//
//   in the region    a word for each place where a block may begin
//   elsewhere        an entry of a table, found by its address
//
// Each says whether the block is live or free, and its domain, size and heap
// when it was last handed out.  All of that lies away from the blocks.  A block
// that is free stays known until another one begins at its address; of those
// outside the region the table forgets the free ones when it fills up.
//
// A block is forgotten before its memory can be handed out again: first
// pim_shadow_free(), then the free itself.

#ifndef PIM_DOMAIN_SHADOW_H
#define PIM_DOMAIN_SHADOW_H

#include "base/compiler.h"

typedef enum pim_shadow_state {
    PIM_KNOWN_NOT, // no block began or lay there
    PIM_KNOWN_LIVE,
    PIM_KNOWN_FREED,
} pim_shadow_state;

typedef struct pim_shadow {
    pim_shadow_state state;
    unsigned domain;   // enum pim_domain
    const void *start; // where the block begins
    size_t bytes;      // usable ones in the region; elsewhere as told
    int64_t interp;    // of its heap; PIM_PROCESS_ID
    bool is_complete;  // false: the system once had no memory for this, so what
                       // is not known may be a block all the same
} pim_shadow;

// A block was handed out.  `bytes` is its size outside the region, and ignored
// in it.  Any thread, outside the gate or inside.
void pim_shadow_add(const void *block, unsigned domain, size_t bytes,
                    int64_t interp);

// A live block is about to be freed or moved; *was is what was known of it.
// False: it is no live block of the domain, and nothing changed.  Of several
// threads one is told true.
bool pim_shadow_free(const void *block, unsigned domain, pim_shadow *was);

// What is known of an address: the block that begins there; else the live one
// that it lies in.  Slow.
pim_shadow pim_shadow_find(const void *address);

#endif // PIM_DOMAIN_SHADOW_H
