// trace.h -- tracing of memory, from Python.

#ifndef PIM_MODULE_TRACE_H
#define PIM_MODULE_TRACE_H

#include "module/limited.h"

// Adds the functions to a module pimalloc.  -1 with an exception set.
int pim_trace_add(PyObject *module);

#endif // PIM_MODULE_TRACE_H
