// remote.h -- what non-owners free, and what the owner takes over of it.
//
// Inside the gate.

#ifndef PIM_HEAP_REMOTE_H
#define PIM_HEAP_REMOTE_H

#include "heap/heap.h"

// Takes over what non-owners freed.  Owner, inside the gate.
void pim_heap_drain(pim_heap *heap);

// The page has blocks that its heap is to take over.  Any thread.
void pim_heap_announce(pim_heap *heap, pim_page *page);

// Counts a block outside the arenas as gone from the account of the heap, or of
// the process if the heap has another serial now.  `caller` is the caller's own
// heap, or any that is not.  Inside the gate.
void pim_heap_uncount(const pim_heap *caller, pim_heap *heap, uint64_t serial,
                      unsigned domain, size_t bytes);

// The same if the heap lives and is no process heap; else false, and nothing
// changed.
bool pim_heap_uncount_living(const pim_heap *caller, pim_heap *heap,
                             uint64_t serial, unsigned domain, size_t bytes);

#endif // PIM_HEAP_REMOTE_H
