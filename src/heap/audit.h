// audit.h -- checks of a whole heap, for tests.

#ifndef PIM_HEAP_AUDIT_H
#define PIM_HEAP_AUDIT_H

#include "heap/heap.h"

// Checks every page and list.  Owner; slow.
void pim_heap_audit(pim_heap *heap);

#endif // PIM_HEAP_AUDIT_H
