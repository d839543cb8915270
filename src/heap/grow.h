// grow.h -- more arena space for a heap.
//
// Owner, inside the gate.

#ifndef PIM_HEAP_GROW_H
#define PIM_HEAP_GROW_H

#include "heap/heap.h"

// A span, from a new arena if need be; NULL: no memory.
pim_page *pim_heap_take_span(pim_heap *heap, unsigned units);

#endif // PIM_HEAP_GROW_H
