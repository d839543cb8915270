// find_owner.h -- whose block lies at an address.

#ifndef PIM_INTERP_FIND_OWNER_H
#define PIM_INTERP_FIND_OWNER_H

#include "heap/heap.h"

// Finds whose block lies at an address: that heap's id, PIM_PROCESS_ID for what
// has no living owner.  Any address inside a block of an arena will do; of a
// large one only its start.  False: there is no block of ours.  Any thread.
bool pim_heap_find_owner(const void *address, int64_t *id);

// Puts into words what small block an address is in, for a message before the
// process ends: takes no lock and trusts no more than the page's descriptor,
// which the caller has read.  False: it is in none.
bool pim_heap_describe(const void *address, char *text, size_t size);

#endif // PIM_INTERP_FIND_OWNER_H
