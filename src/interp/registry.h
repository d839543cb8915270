// registry.h -- births and ends of interpreters.

#ifndef PIM_INTERP_REGISTRY_H
#define PIM_INTERP_REGISTRY_H

#include "heap/heap.h"

// All functions: any thread; inside the gate or outside unless they say so.

// An interpreter known under the same pointer with another id, or of another
// runtime, has ended without notice: its heap is retired now.  Outside the
// gate.
void pim_registry_end_other(const void *interp, int64_t id,
                            uint32_t generation);

// Makes an interpreter known with a heap of its own, or with `shared` as its
// heap (legacy interpreters share main's).  Returns its heap; NULL: no memory.
// Who was there before has ended.  maker: who made it, NULL: nobody who would
// answer for it.  Outside the gate.
pim_heap *pim_registry_birth(const void *interp, int64_t id,
                             uint32_t generation, pim_heap *shared,
                             const pim_maker *maker);

// The interpreter whose memory lies in [start, start + bytes) ends: retires its
// heap.  Must come before the memory can be reused.  Outside the gate; no lock.
// Returns whether there was one.
bool pim_registry_end(const void *start, size_t bytes);

// CPython aligns the state inside the block that it allocates, and its debug
// layer adds a header: an interpreter begins within this many bytes.
#define PIM_STATE_OFFSET_MAX 256

// The end of the interpreter that was made known under that pointer may not be
// seen.  What it leaves is kept, whatever the policy.
void pim_registry_doubt(const void *interp);

// Somebody who wants to know of births and ends.  Both are told outside the gate
// and with no lock held: of a birth before the heap serves, in the thread that
// made it known; of an end when its memory is given back.
typedef struct pim_life_watch {
    void (*born)(pim_heap *heap);
    void (*ended)(int64_t id, bool kept); // what is live is the process's
} pim_life_watch;

// NULL: nobody.  Any thread.
extern _Atomic(const pim_life_watch *) pim_life_watcher;

// Interpreters known besides main: a cheap filter for pim_registry_end().
extern _Atomic uint64_t pim_registry_subs;

// Sets what becomes of what a living interpreter leaves (enum pim_policy).  0;
// -ENOENT: none has that id; -ENOTSUP: it is main, or uses another's heap, or
// its end may not be seen and the policy is not to keep.
int pim_registry_set_policy(int64_t id, int policy);

// What the heap's interpreter leaves is kept, whatever the policy of others.
void pim_heap_keep_always(pim_heap *heap);

// Opens the process heap, once, before any other call of this layer.
void pim_process_heap_init(void);

#endif // PIM_INTERP_REGISTRY_H
