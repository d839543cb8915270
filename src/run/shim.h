// shim.h -- pyenv's shims: shell scripts that find the Python to execute.

#ifndef PIM_RUN_SHIM_H
#define PIM_RUN_SHIM_H

#include <limits.h>
#include <stdbool.h>

// Whether `script` is a pyenv shim.  Then `out` is the program it would execute,
// or "" if pyenv finds none; what pyenv has to say about that goes to stderr.
// pyenv itself is asked, which costs some tenths of a second.
bool pim_shim_resolve(const char *script, char out[PATH_MAX]);

#endif // PIM_RUN_SHIM_H
