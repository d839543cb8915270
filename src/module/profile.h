// profile.h -- the functions about profiles: profile_start(), profile_stop(),
// profile(), profile_mark(), profile_save().

#ifndef PIM_MODULE_PROFILE_H
#define PIM_MODULE_PROFILE_H

#include "module/library.h"

// Adds them to the module.  -1 with an exception set.
int pim_profile_add(PyObject *module);

#endif // PIM_MODULE_PROFILE_H
