// shim.h -- pyenv's shims: shell scripts that find the Python to execute.

#ifndef PIM_RUN_SHIM_H
#define PIM_RUN_SHIM_H

// The program that `script` would execute, or "" if pyenv finds none and has said so
// on stderr.  NULL: it is no shim.  pyenv itself is asked, which takes some tenths
// of a second.
const char *pim_shim_program(const char *script);

#endif // PIM_RUN_SHIM_H
