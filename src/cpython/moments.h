// moments.h -- having something done when CPython is ready for it.
//
// What the environment asks for begins before CPython does.

#ifndef PIM_CPYTHON_MOMENTS_H
#define PIM_CPYTHON_MOMENTS_H

#include "base/compiler.h"

// Has `call` called in the main thread of the main interpreter, as soon as that
// runs Python code: with its GIL, between two instructions.  False: it is to be
// called again somewhat later.  Up to PIM_CALLS_SOON of them.  0 or -errno.  By
// one thread at a time.
#define PIM_CALLS_SOON 4
int pim_py_call_soon(bool (*call)(void));

// Has `call` called when the main interpreter begins to end: after the program's
// own functions of the module atexit, before anything is taken apart.  From such
// a call as above.  False: it will not be.
bool pim_py_call_at_exit(void (*call)(void));

#endif // PIM_CPYTHON_MOMENTS_H
