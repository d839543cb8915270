// faults.h -- the context manager faults.

#ifndef PIM_MODULE_FAULTS_H
#define PIM_MODULE_FAULTS_H

#include "module/library.h"

// Adds its type to the module.  -1 with an exception set.
int pim_faults_add(PyObject *module);

#endif // PIM_MODULE_FAULTS_H
