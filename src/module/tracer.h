// tracer.h -- CPython's one slot for who wants to know of each object made, from
// CPython 3.13 on.

#ifndef PIM_MODULE_TRACER_H
#define PIM_MODULE_TRACER_H

#include "module/library.h"

// Whether the slot is ours or free; else false with RuntimeError set.
bool pim_tracer_is_free(void);

// Takes it for the trace of an interpreter, so that objects from free lists are
// labelled anew.  -1 with an exception set.
int pim_tracer_take(const pim_library *library, int64_t interp);

// Gives it back if it is still ours, for that trace.
void pim_tracer_give(int64_t interp);

#endif // PIM_MODULE_TRACER_H
