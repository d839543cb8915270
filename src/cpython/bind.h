// bind.h -- which interpreter's heap serves the calling thread.

#ifndef PIM_CPYTHON_BIND_H
#define PIM_CPYTHON_BIND_H

#include "interp/current.h"

// Begins to serve a new runtime: ids start over, old bindings are not trusted.
void pim_interp_new_runtime(void);

// Whether the latest of them asked for memory: its main interpreter has a heap.
bool pim_interp_is_served(void);

// How many runtimes have been served.
uint32_t pim_interp_generation(void);

#endif // PIM_CPYTHON_BIND_H
