// idle.h -- what a heap keeps though it holds no live block.
//
// Owner, inside the gate.

#ifndef PIM_HEAP_IDLE_H
#define PIM_HEAP_IDLE_H

#include "heap/heap.h"

// Releases what holds no live block and is kept for later: idle spans, and
// empty pages, current ones too.  Does not purge.
void pim_heap_release_idle(pim_heap *heap);

// The same of the empty pages of the partial lists alone.
void pim_heap_release_empty(pim_heap *heap);

#endif // PIM_HEAP_IDLE_H
