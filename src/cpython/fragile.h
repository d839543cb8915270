// fragile.h -- requests whose failure this CPython does not survive.

#ifndef PIM_CPYTHON_FRAGILE_H
#define PIM_CPYTHON_FRAGILE_H

#include "base/compiler.h"

// Looks up what the answer depends on.  pim_py is filled; any time, any number
// of times.
void pim_fragile_start(void);

// Whether a request may be one that CPython crashes of, or never comes back
// from, if it gets nothing.  Any thread.
bool pim_is_fragile(unsigned domain, size_t size);

#endif // PIM_CPYTHON_FRAGILE_H
