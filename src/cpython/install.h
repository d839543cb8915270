// install.h -- pimalloc_install() for those who have to say which Python.

#ifndef PIM_CPYTHON_INSTALL_H
#define PIM_CPYTHON_INSTALL_H

#include <stdbool.h>

#include "pimalloc/pimalloc.h"

// Like pimalloc_install(), for the CPython that a module which dlopen() returned
// is or depends on; NULL: the one that the process sees.
//
// raw_stays: the raw domain goes on with libc's malloc, as without us, and is only
// counted.
int pim_install(const pimalloc_config *config, void *python, bool raw_stays);

#endif // PIM_CPYTHON_INSTALL_H
