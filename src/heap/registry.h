// registry.h -- which interpreter has which heap, from birth to end.

#ifndef PIM_HEAP_REGISTRY_H
#define PIM_HEAP_REGISTRY_H

#include "heap/ended.h"
#include "heap/figures.h"

// All functions: any thread; inside the gate or outside unless they say so.

// The heap of an interpreter, or NULL if it is not known as this one.
pim_heap *pim_registry_find(const void *interp, int64_t id,
                            uint32_t generation);

// The heap of the newest living interpreter with that id, main's for a legacy one;
// NULL: there is none.
pim_heap *pim_registry_heap(int64_t id);

// An interpreter known under the same pointer with another id, or of another runtime,
// has ended without notice: its heap is retired now.  Outside the gate.
void pim_registry_end_other(const void *interp, int64_t id,
                            uint32_t generation);

// Makes an interpreter known with a heap of its own, or with `shared` as its
// heap (legacy interpreters share main's).  Returns its heap; NULL: no memory.
// Who was there before has ended.  maker: who made it, NULL: nobody who would answer
// for it.  Outside the gate.
pim_heap *pim_registry_birth(const void *interp, int64_t id,
                             uint32_t generation, pim_heap *shared,
                             const pim_maker *maker);

// The interpreter whose memory lies in [start, start + bytes) ends: retires its
// heap.  Must come before the memory can be reused.  Outside the gate; no lock.
// Returns whether there was one.
bool pim_registry_end(const void *start, size_t bytes);

// CPython aligns the state inside the block that it allocates, and its debug layer adds
// a header: an interpreter begins within this many bytes.
#define PIM_STATE_OFFSET_MAX 256

// Whether somebody is known under that pointer.
bool pim_registry_is_bound(const void *interp);

// The end of the interpreter that was made known under that pointer may not be seen.
// What it leaves is kept, whatever the policy.
void pim_registry_doubt(const void *interp);

// Whether that was said of it.
bool pim_registry_is_doubted(const void *interp);

// The lock of all this and of ended.h, lives.h and endings.h; enters the gate.
void pim_registry_lock(void);
void pim_registry_unlock(void);

// Interpreters known besides main: a cheap filter for pim_registry_end().
extern _Atomic uint64_t pim_registry_subs;

// Sets what becomes of what a living interpreter leaves (enum pim_policy).
// 0; -ENOENT: none has that id; -ENOTSUP: it is main, or uses another's heap, or its
// end may not be seen and the policy is not to keep.
int pim_registry_set_policy(int64_t id, int policy);

// What the heap's interpreter leaves is kept, whatever the policy of others.
void pim_heap_keep_always(pim_heap *heap);

// Copies ids out, of the ended ones in order of their end, then of the living in
// order of birth, without those that share another's heap; returns how many.
size_t pim_registry_ids(int64_t *ids, size_t capacity);

// Figures of the newest interpreter with that id, PIM_PROCESS_ID included.
// A shared heap's figures carry the id of the interpreter that it belongs to.
bool pim_registry_figures(int64_t id, pim_figures *out);

// The same by size class, of one slot.
bool pim_registry_class_figures(int64_t id, unsigned slot,
                                pim_class_figures *out);

// Whether an interpreter of that id and runtime has ended, of the last
// PIM_ENDED_KEPT.
bool pim_registry_has_ended(int64_t id, uint32_t generation);

// Calls visit() with the heap of the newest living interpreter with that id, which
// does not end meanwhile.  Under the lock, as below.  False: there is none.
bool pim_registry_visit(int64_t id, void (*visit)(void *arg, pim_heap *heap),
                        void *arg);

// Calls visit() with the figures of all that pim_registry_ids() lists, in its
// order.  Unlike asking for each id it tells those apart whose ids repeat.
// visit() runs under the lock: it neither allocates nor calls the registry.
void pim_registry_each(void (*visit)(void *arg, const pim_figures *figures),
                       void *arg);

// Somebody who wants to see what is left of an interpreter.
typedef struct pim_end_watch {
    // After the last event; the heap's blocks are still where they were.  Under the
    // process heap's lock: takes no lock of the layer but a ring's.
    void *(*look)(pim_heap *heap);

    // When its memory is given back and no lock is held, with what look() returned.
    void (*tell)(void *seen);
} pim_end_watch;

// NULL: nobody.  Any thread.
extern _Atomic(const pim_end_watch *) pim_end_watcher;

// Calls visit() with each living interpreter's heap, main's too; under the lock, as
// above.
void pim_registry_each_heap(void (*visit)(void *arg, pim_heap *heap),
                            void *arg);

// How far the retirement of a heap is (retire.c).
enum pim_retiring {
    PIM_RETIRE_NOT,
    PIM_RETIRE_HANDED_OVER, // frees that found the old owner may be under way
    PIM_RETIRE_SETTLED,     // of large blocks that are to be poisoned, too
};

// Gives back what an ended interpreter held: a first step, and further ones, each
// after a grace period, until there is none more.  Then the record may be recycled.
// The first returns what the watch, which may be NULL, saw.  Inside the gate.
void *pim_retire_begin(pim_heap *heap, const pim_end_watch *watch);
bool pim_retire_go_on(pim_heap *heap);

#endif // PIM_HEAP_REGISTRY_H
