// freeze.h -- a heap before its process forks.

#ifndef PIM_INTERP_FREEZE_H
#define PIM_INTERP_FREEZE_H

#include "heap/heap.h"

// Returns idle memory, and takes the pages with free blocks out of use until
// they are empty.  Owner, inside the gate.
void pim_heap_freeze(pim_heap *heap);

#endif // PIM_INTERP_FREEZE_H
