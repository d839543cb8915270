// module.h -- which file an address is in.

#ifndef PIM_PLATFORM_MODULE_H
#define PIM_PLATFORM_MODULE_H

#include <limits.h>

#include "base/compiler.h"

// The path of the module that an address is in, as the loader has it; "" if
// that is the program, or nothing.  Of the program dladdr() would answer
// argv[0], which is whatever its caller says.
void pim_module_path(const void *address, char path[PATH_MAX]);

#endif // PIM_PLATFORM_MODULE_H
