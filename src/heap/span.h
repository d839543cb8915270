// span.h -- blocks above PIM_SMALL_MAX and up to PIM_SPAN_MAX: spans of units.
//
// NULL: there is no arena to be had, or a limit in the way; the heap is as it
// was.  Owner, outside the gate.

#ifndef PIM_HEAP_SPAN_H
#define PIM_HEAP_SPAN_H

#include "heap/heap.h"

void *pim_span_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero);

// The same for a block of any size up to PIM_SPAN_MAX that is being grown.
void *pim_span_alloc_growing(pim_heap *heap, unsigned domain, size_t size);

// Makes a live span longer or shorter where it is.  False: that is not
// possible, or not the caller's to do, and nothing changed.
bool pim_span_resize(pim_heap *heap, pim_page *page, size_t size);

#endif // PIM_HEAP_SPAN_H
