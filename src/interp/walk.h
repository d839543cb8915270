// walk.h -- all live blocks of a heap, one by one.

#ifndef PIM_INTERP_WALK_H
#define PIM_INTERP_WALK_H

#include "heap/heap.h"

// What pim_found.size_class says of blocks that are in no class.
enum { PIM_WALK_SPAN = PIM_CLASSES, PIM_WALK_LARGE, PIM_WALK_CLASSES };

typedef struct pim_found {
    void *address;
    size_t bytes; // usable
    unsigned domain;
    unsigned size_class; // index in pim_classes, or as above
} pim_found;

// Other than 0 ends the walk, which returns it.  Neither allocates nor frees.
typedef int (*pim_walk_visitor)(void *arg, const pim_found *found);

// Visits the live blocks that are in the account of a heap.  Owner, or nobody
// owns it meanwhile.  A small block that others free during the walk may be
// visited although; large ones are not freed meanwhile.
int pim_walk_heap(pim_heap *heap, pim_walk_visitor visit, void *arg);

// The same for the process heap, with what ended interpreters left.  Any
// thread, outside the gate; keeps all others out of it meanwhile.  -EAGAIN: a
// fork has closed it (pim_gate_close()).
int pim_walk_process(pim_walk_visitor visit, void *arg);

#endif // PIM_INTERP_WALK_H
