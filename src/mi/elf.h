// elf.h -- what a shared library defines, without loading it.

#ifndef PIM_MI_ELF_H
#define PIM_MI_ELF_H

#include "base/compiler.h"

// Whether the file is a shared library for this processor that defines all the
// names.  False also if it cannot be read or is not understood.
bool pim_elf_defines(const char *path, const char *const *names, size_t count);

#endif // PIM_MI_ELF_H
