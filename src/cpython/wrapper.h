// wrapper.h -- what somebody on top of us needs to go on: tracemalloc, a
// profiler.

#ifndef PIM_CPYTHON_WRAPPER_H
#define PIM_CPYTHON_WRAPPER_H

#include "base/compiler.h"

// Limits spare what wrappers note, from now on.
void pim_wrapper_start(void);

#endif // PIM_CPYTHON_WRAPPER_H
