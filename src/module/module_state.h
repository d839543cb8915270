// module_state.h -- what each module object pimalloc has of its own: an
// interpreter, and each import after the module was deleted, has another.

#ifndef PIM_MODULE_MODULE_STATE_H
#define PIM_MODULE_MODULE_STATE_H

#include "module/library.h"

typedef struct pim_module_state {
    pim_library library;
    PyObject *not_active_error; // NULL: the module is dying
} pim_module_state;

pim_module_state *pim_module_state_of(PyObject *module);

// The library of a module pimalloc, if Python is served by it; else NULL with
// NotActiveError set.
const pim_library *pim_library_of(PyObject *module);

#endif // PIM_MODULE_MODULE_STATE_H
