// census.h -- what a walk finds, counted.

#ifndef PIM_TESTS_CENSUS_H
#define PIM_TESTS_CENSUS_H

#include "interp/walk.h"

typedef struct census {
    uint64_t bytes[PIM_DOMAINS];
    uint64_t blocks[PIM_DOMAINS];
    uint64_t address_sum; // of all blocks
    uint64_t stop_after;  // blocks; 0: never
} census;

// Walks a heap, which may be the process heap, and counts.  Returns what the walk
// returned: 0, or 7 if it was stopped.
int census_take(pim_heap *heap, census *out);

// A census of the heap finds what its figures say, to the byte.
void census_expect_figures(pim_heap *heap, int64_t id);

#endif // PIM_TESTS_CENSUS_H
