// owner.h -- from an object to the block that holds it.

#ifndef PIM_MODULE_OWNER_H
#define PIM_MODULE_OWNER_H

#include "module/library.h"

// Which interpreter's heap the object is in.  False: it is not in pimalloc's
// memory, or where its block begins cannot be found out.
bool pim_owner_of(const pim_library *library, PyObject *object,
                  int64_t *interp);

#endif // PIM_MODULE_OWNER_H
