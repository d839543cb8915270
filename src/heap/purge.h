// purge.h -- idle memory goes back to the system.
//
// Owner, inside the gate unless a function says otherwise.

#ifndef PIM_HEAP_PURGE_H
#define PIM_HEAP_PURGE_H

#include "heap/heap.h"

// The heap is about to keep less idle memory, or none.
void pim_heap_give_up_credit(pim_heap *heap);

// Returns idle memory if the heap keeps more than it may, or if it is time to.
// What frees units calls it in the end.
void pim_heap_purge_if_due(pim_heap *heap);

// So many bytes were handed out from current pages.  A program that does little
// comes to no slow path, but to this.  Outside the gate or inside.
void pim_heap_purge_handed(pim_heap *heap, uint64_t bytes);

// Gives memory of empty pages back that was idle for a tick, or all of it.
// Returns bytes given back.  Owner, inside the gate.
size_t pim_heap_purge(pim_heap *heap, bool all);

// Gives free units back for an owner who may be at work, and asks it to give
// the rest back at its next slow path.  The gate is closed by the caller.  Like
// pim_heap_purge() otherwise; without `all` the owner is not asked.
size_t pim_heap_purge_from_outside(pim_heap *heap, bool all);

#endif // PIM_HEAP_PURGE_H
