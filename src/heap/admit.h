// admit.h -- whether a request is within the limits that its heap is under.
//
// Owner, as in heap.h, unless a function says otherwise.

#ifndef PIM_HEAP_ADMIT_H
#define PIM_HEAP_ADMIT_H

#include "heap/heap.h"

// Claims so many more bytes for a request of `size`.  False: they are not
// within the limits.  Says nothing to anybody.
bool pim_limit_admits(pim_heap *heap, size_t size, uint64_t bytes);

// The same, and if they are not, counts and reports the refusal.  Outside the
// gate.
bool pim_limit_admits_or_reports(pim_heap *heap, unsigned domain, size_t size,
                                 uint64_t bytes);

// Claims a page of a small class, which may become current: so many bytes more
// can be served then without asking.
bool pim_limit_admits_page(pim_heap *heap, uint64_t bytes);

// Whether a raw request of so many bytes is to be served whatever the limits
// say.  Set once by the layer that knows CPython; NULL: none is.
extern bool (*pim_limit_spares)(size_t size);

// Takes the current pages away, as somebody who was short of room has asked for
// (pim_budget_revoke()).  Owner.
void pim_limit_obey(pim_heap *heap);

// Checks that the heap has no more than it was charged (BUDGET-1), but for what
// large blocks may be larger than was asked for.  Owner.
void pim_limit_audit(pim_heap *heap);

#endif // PIM_HEAP_ADMIT_H
