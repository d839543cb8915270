// tracemalloc.h -- the standard module tracemalloc, in any interpreter.

#ifndef PIM_MODULE_TRACEMALLOC_H
#define PIM_MODULE_TRACEMALLOC_H

#include "module/limited.h"

// A class of the module.  NULL with an exception set.
PyObject *pim_tracemalloc_class(const char *name);

#endif // PIM_MODULE_TRACEMALLOC_H
