// record.h -- the functions about recordings: record_start(), record_stop().

#ifndef PIM_MODULE_RECORD_H
#define PIM_MODULE_RECORD_H

#include "module/library.h"

// Adds them to the module.  -1 with an exception set.
int pim_record_add(PyObject *module);

#endif // PIM_MODULE_RECORD_H
