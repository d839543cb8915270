// retire.h -- what becomes of an interpreter's memory when it ends.

#ifndef PIM_INTERP_RETIRE_H
#define PIM_INTERP_RETIRE_H

#include "heap/heap.h"

// Somebody who wants to see what is left of an interpreter.
typedef struct pim_end_watch {
    // After the last event; the heap's blocks are still where they were.  Under
    // the process heap's lock: takes no lock of the layer but a ring's.
    void *(*observe)(pim_heap *heap);

    // When its memory is given back and no lock is held, with what observe()
    // returned.
    void (*notify)(void *seen);
} pim_end_watch;

// NULL: nobody.  Any thread.
extern _Atomic(const pim_end_watch *) pim_end_watcher;

// How far the retirement of a heap is (retire.c).
enum pim_retiring {
    PIM_RETIRE_NOT,
    PIM_RETIRE_HANDED_OVER, // frees that found the old owner may be under way
    PIM_RETIRE_SETTLED,     // of large blocks that are to be poisoned, too
};

// Gives back what an ended interpreter held: a first step, and further ones,
// each after a grace period, until there is none more.  Then the record may be
// recycled.  The first returns what the watch, which may be NULL, saw.  Inside
// the gate.
void *pim_retire_begin(pim_heap *heap, const pim_end_watch *watch);
bool pim_retire_go_on(pim_heap *heap);

#endif // PIM_INTERP_RETIRE_H
