// stats.h -- snapshots of all interpreters, for reports.

#ifndef PIM_API_STATS_H
#define PIM_API_STATS_H

#include "pimalloc/pimalloc.h"

// Names in all formats, indexed by enum pimalloc_domain.
extern const char *const pim_domain_names[PIMALLOC_DOMAINS];

// Copies snapshots of the interpreters that pimalloc_interpreters() lists, in
// its order, and returns how many there are.  Unlike asking for each id it
// gives all of them where ids repeat, and one moment's list.  `out` may be NULL
// if capacity is 0.  Any thread, no GIL.
size_t pim_stats_all(pimalloc_snapshot *out, size_t capacity);

#endif // PIM_API_STATS_H
