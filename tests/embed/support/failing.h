// failing.h -- CPython's own allocator with a limit in front of it.
//
// It refuses what pimalloc's limits refuse, so that what CPython does then can be
// seen without pimalloc.

#ifndef PIM_TESTS_FAILING_H
#define PIM_TESTS_FAILING_H

#include <Python.h>

#include <stdint.h>

// In front of mem and obj, between pre-initialisation and initialisation.
void failing_install(void);

// Limits what one interpreter has live from now on.  Under its GIL.
void failing_limit(PyInterpreterState *interp, uint64_t soft, uint64_t hard);

#endif // PIM_TESTS_FAILING_H
