// install.h -- pimalloc_install() for those who have to say which Python.

#ifndef PIM_API_INSTALL_H
#define PIM_API_INSTALL_H

#include <stdbool.h>

#include "pimalloc/pimalloc.h"

// Like pimalloc_install(), for the CPython that a module which dlopen()
// returned is or depends on; NULL: the one that the process sees.
//
// unasked: the program knows nothing of us.  So an allocator that it has set
// stays (-EBUSY), and raw goes on with libc's malloc and is only counted: a raw
// block costs more in mimalloc, with its accounting.
int pim_install(const pimalloc_config *config, void *python, bool unasked);

#endif // PIM_API_INSTALL_H
