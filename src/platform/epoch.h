// epoch.h -- for how long what threads remember is true.

#ifndef PIM_PLATFORM_EPOCH_H
#define PIM_PLATFORM_EPOCH_H

#include "base/atomic.h"

// Never 0.  Ends, by being counted up, when an interpreter ends, a runtime is
// replaced, or heaps are to look at what they were asked for.
extern _Atomic uint64_t pim_epoch;

#endif // PIM_PLATFORM_EPOCH_H
