// snapshot.h -- what is traced, as objects of the module tracemalloc.

#ifndef PIM_MODULE_SNAPSHOT_H
#define PIM_MODULE_SNAPSHOT_H

#include "module/library.h"

// A tracemalloc.Snapshot of an interpreter, or of all, whose stacks have up to
// so many frames.  NULL with an exception set.
PyObject *pim_snapshot_take(const pim_library *library, int64_t interp,
                            unsigned frames);

// The tracemalloc.Traceback of an object, or None.
PyObject *pim_snapshot_traceback(const pim_library *library, PyObject *object);

#endif // PIM_MODULE_SNAPSHOT_H
