// install.h -- pimalloc_install() for those who have to say which Python.

#ifndef PIM_CPYTHON_INSTALL_H
#define PIM_CPYTHON_INSTALL_H

#include "pimalloc/pimalloc.h"

// Like pimalloc_install(), for the CPython that a module which dlopen() returned
// is or depends on; NULL: the one that the process sees.
int pim_install(const pimalloc_config *config, void *python);

#endif // PIM_CPYTHON_INSTALL_H
