// reclaim.h -- arenas of ended interpreters for those that live.

#ifndef PIM_HEAP_RECLAIM_H
#define PIM_HEAP_RECLAIM_H

#include "heap/heap.h"

// Takes over an arena of an ended interpreter for a span of `units`, with the
// pages of it that have room if this heap is to be kept when it ends.  False:
// there is none.  Owner, inside the gate.
bool pim_heap_reclaim(pim_heap *heap, unsigned units);

#endif // PIM_HEAP_RECLAIM_H
