// classes.h -- figures by size class.

#ifndef PIM_MODULE_CLASSES_H
#define PIM_MODULE_CLASSES_H

#include "module/library.h"

// The size classes that a domain ("raw", "mem", "obj") of an interpreter has
// used, as a list of dictionaries.  NULL with ValueError set: there is no such
// interpreter or domain.
PyObject *pim_classes_of(const pim_library *library, int64_t interp,
                         const char *domain);

#endif // PIM_MODULE_CLASSES_H
