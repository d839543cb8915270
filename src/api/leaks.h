// leaks.h -- what interpreters leave at their end, found and told.

#ifndef PIM_API_LEAKS_H
#define PIM_API_LEAKS_H

#include "api/env_options.h"
#include "pimalloc/tenants.h"

// Watches the ends of interpreters if the options or a callback ask for it.  At
// each install.
void pim_leaks_start(const pim_options *options);

// Tells what the main interpreter left, if it was served and Python has ended,
// as at other interpreters' ends.  False: Python has not ended.  At the end of
// the process, when nobody else uses its heap.
bool pim_leaks_of_main(void);

// How many blocks were left so far by all interpreters, but for CPython's own.
uint64_t pim_leaks_found(void);

#endif // PIM_API_LEAKS_H
