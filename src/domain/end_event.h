// end_event.h -- the end of an interpreter, as seen from its memory: CPython
// frees its state, a raw block.  Nothing else tells of it.

#ifndef PIM_DOMAIN_END_EVENT_H
#define PIM_DOMAIN_END_EVENT_H

#include "base/compiler.h"

// A block of this many bytes was just allocated, or is about to be freed: an
// interpreter that lies in it has ended.
void pim_raw_watch_new(const void *block, size_t bytes);
void pim_raw_watch_freed(const void *block, size_t bytes);

#endif // PIM_DOMAIN_END_EVENT_H
