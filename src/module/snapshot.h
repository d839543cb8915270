// snapshot.h -- what is traced, as objects of the module tracemalloc.

#ifndef PIM_MODULE_SNAPSHOT_H
#define PIM_MODULE_SNAPSHOT_H

#include "module/library.h"

// A tracemalloc.Snapshot of an interpreter, or of all, whose stacks have up to
// so many frames.  NULL with an exception set.
PyObject *pim_snapshot_take(const pim_library *library, int64_t interp,
                            unsigned frames);

// The same of what a profile's samples say is live: a trace for each stack, of the
// estimated size.  RuntimeError if there is no profile.
PyObject *pim_snapshot_of_profile(const pim_library *library);

// The tracemalloc.Traceback of an object, or None.
PyObject *pim_snapshot_traceback(const pim_library *library, PyObject *object);

#endif // PIM_MODULE_SNAPSHOT_H
