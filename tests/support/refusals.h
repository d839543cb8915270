// refusals.h -- limits of heaps, and what their callback heard of.

#ifndef PIM_TESTS_REFUSALS_H
#define PIM_TESTS_REFUSALS_H

#include "heap/heap.h"

extern pimalloc_refusal last_refusal;
extern unsigned refusals;

// The callback; `arg` is &refusals.
void note_refusal(void *arg, const pimalloc_refusal *refusal);

void limit_heap(pim_heap *heap, uint64_t soft, uint64_t hard);

#endif // PIM_TESTS_REFUSALS_H
