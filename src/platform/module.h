// module.h -- which module an address is in.

#ifndef PIM_PLATFORM_MODULE_H
#define PIM_PLATFORM_MODULE_H

#include <limits.h>

#include "base/compiler.h"

struct dl_phdr_info; // <link.h>

// Has the module looked at that an address is in, under a lock of the loader's.
typedef void pim_module_look(const struct dl_phdr_info *info, void *arg);
void pim_module_find(const void *address, pim_module_look *look, void *arg);

// The path of the module that an address is in, as the loader has it; "" if
// that is the program, or nothing.  Of the program dladdr() would answer
// argv[0], which is whatever its caller says.
void pim_module_path(const void *address, char path[PATH_MAX]);

// Takes the constant parts of the module that an address is in out of what is
// resident here: what was needed once goes, and what is needed again is mapped
// again, from the system's cache of files.
void pim_module_forget_pages(const void *address);

#endif // PIM_PLATFORM_MODULE_H
