// figures.h -- snapshots as dictionaries.

#ifndef PIM_MODULE_FIGURES_H
#define PIM_MODULE_FIGURES_H

#include "module/library.h"

// The dictionary of one interpreter or of the process.  NULL with ValueError
// set: no such interpreter is known.
PyObject *pim_figures_of(const pim_library *library, int64_t interp);

// All of them: {"version", "active", "process", "interpreters": {id: ...}}.
PyObject *pim_figures_all(const pim_library *library);

// One usage as a dictionary.
PyObject *pim_figures_usage(const pimalloc_usage *usage);

// Sets the ValueError for an id that is not known.
void pim_figures_unknown(int64_t interp);

// The ids that are known, each once, as a list.
PyObject *pim_figures_ids(const pim_library *library);

#endif // PIM_MODULE_FIGURES_H
