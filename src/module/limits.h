// limits.h -- the functions about limits: set_limit(), limits(), count_for(),
// count_made().

#ifndef PIM_MODULE_LIMITS_H
#define PIM_MODULE_LIMITS_H

#include "module/library.h"

// Adds them to the module.  -1 with an exception set.
int pim_limits_add(PyObject *module);

#endif // PIM_MODULE_LIMITS_H
