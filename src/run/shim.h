// shim.h -- pyenv's shims: shell scripts that find the Python to execute.

#ifndef PIM_RUN_SHIM_H
#define PIM_RUN_SHIM_H

#include <limits.h>
#include <stdbool.h>

// Whether `script` is a pyenv shim; then `out` is the program it would execute.
// pyenv itself is asked, which costs some tenths of a second; what it complains
// about goes to stderr.
bool pim_shim_resolve(const char *script, char out[PATH_MAX]);

#endif // PIM_RUN_SHIM_H
