// audit.h -- what happens in Python, where there is no other way to know.

#ifndef PIM_CPYTHON_AUDIT_H
#define PIM_CPYTHON_AUDIT_H

#include "base/compiler.h"

// Has `seen` called with the name of each audit event, by all threads, until
// Python is finalised.  It may call CPython if a thread state is current, and
// sets no error.  Before Python is initialised.  False: CPython hides the
// function.
bool pim_audit_start(void (*seen)(const char *event));

#endif // PIM_CPYTHON_AUDIT_H
