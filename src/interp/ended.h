// ended.h -- the figures of interpreters that have ended, the last
// PIM_ENDED_KEPT.
//
// All of it under the registry's lock.

#ifndef PIM_INTERP_ENDED_H
#define PIM_INTERP_ENDED_H

#include "interp/figures.h"

// How many ended interpreters stay readable.
#define PIM_ENDED_KEPT 64

typedef struct pim_ended {
    pim_figures figures;
    pim_class_figures by_class[PIM_DOMAINS];
} pim_ended;

// Notes what a heap of somebody who ended has now.  The same again when that
// has changed: it takes the place of what was noted before, if that is still
// there.
void pim_ended_note(pim_heap *heap);

// The ended interpreter at place i, the oldest kept being 0; NULL past the end.
const pim_ended *pim_ended_at(size_t i);

// The newest with that id; NULL: none is kept.
const pim_ended *pim_ended_of(int64_t id);

// Whether one of that id and runtime is kept.
bool pim_ended_has(int64_t id, uint32_t generation);

void pim_ended_forget_all(void);

#endif // PIM_INTERP_ENDED_H
