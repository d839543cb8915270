// poison_extent.h -- large blocks that ended interpreters left and nobody may
// use.
//
// All under the process heap's lock unless they say otherwise.

#ifndef PIM_ABANDONED_POISON_EXTENT_H
#define PIM_ABANDONED_POISON_EXTENT_H

#include "abandoned/poison.h"
#include "extent/extent.h"

// A block that nobody may use, as the handler of faults tells of it.
typedef struct pim_poisoned_block {
    const char *start;
    size_t bytes;
    int64_t ended; // the interpreter that left it
    unsigned domain;
    bool live; // it was when that ended; else it was free
} pim_poisoned_block;

// The map of a large block of a heap that is being retired is to become
// inaccessible: it does by pim_poison_extents_finish(), after a further grace
// period.  False: there are too many.
bool pim_poison_extent(const void *heap, const pim_extent *map,
                       const pim_poisoned_block *about);
void pim_poison_extents_finish(const void *heap);

// Frees such a block.  False: it is none.
bool pim_poison_free_extent(void *block);

// Finds whose map an address is in.  Any thread, in a signal handler too.
bool pim_poison_find_extent(const void *address, pim_poisoned_block *about);

// How many such maps there are.
extern _Atomic uint64_t pim_poisoned_extents;

#endif // PIM_ABANDONED_POISON_EXTENT_H
