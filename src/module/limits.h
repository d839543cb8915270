// limits.h -- set_limit() and limits().

#ifndef PIM_MODULE_LIMITS_H
#define PIM_MODULE_LIMITS_H

#include "module/library.h"

// As the functions of the module; new references, or NULL with an exception set.
PyObject *pim_limits_set(const pim_library *library, PyObject *args,
                         PyObject *kwargs);
PyObject *pim_limits_get(const pim_library *library, PyObject *args,
                         PyObject *kwargs);

#endif // PIM_MODULE_LIMITS_H
