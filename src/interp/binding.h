// binding.h -- the table of interpreters and their heaps.
//
//   buckets[hash(interp)] -> binding -> binding
//                               |
//                               v heap: its own, or main's for a legacy one
//
// Under the registry's lock, all of it.  It is taken on slow paths only: once
// per thread and interpreter and epoch, and at births and ends.
//
// Invariants:
//   REGISTRY-1  an interpreter pointer is bound at most once.
//   REGISTRY-3  bindings are never unmapped, nor are records (HEAP-3).

#ifndef PIM_INTERP_BINDING_H
#define PIM_INTERP_BINDING_H

#include "heap/heap.h"

typedef struct pim_binding {
    const void *interp;
    pim_heap *heap;
    int64_t id;
    uint32_t generation;
    bool shared;              // the heap is another interpreter's
    bool doubted;             // see pim_registry_doubt()
    struct pim_binding *next; // in its bucket, or in the pool
    struct pim_binding *younger;
    struct pim_binding *older;
} pim_binding;

typedef struct pim_bindings {
    pim_binding *oldest;
    pim_binding *youngest;
} pim_bindings;

extern pim_bindings pim_registry;

// The lock of all this and of ended.h, lives.h and endings.h; enters the gate.
void pim_registry_lock(void);
void pim_registry_unlock(void);

// A record that is in no list; NULL: no memory.
pim_binding *pim_binding_take(void);
void pim_binding_give(pim_binding *b);

// NULL: none is bound under that pointer.
pim_binding *pim_binding_find(const void *interp);

// Ids may repeat: the newest wins.  NULL: there is none.
const pim_binding *pim_binding_of_id(int64_t id);

void pim_binding_link(pim_binding *b);
void pim_binding_unlink(pim_binding *b);

// In a child adrift.
void pim_binding_forget_all(void);

#endif // PIM_INTERP_BINDING_H
