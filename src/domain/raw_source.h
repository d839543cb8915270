// raw_source.h -- raw blocks that lie in no heap of ours: from libc's malloc, or
// from mimalloc where that is libc's; and those that are older than we are.

#ifndef PIM_DOMAIN_RAW_SOURCE_H
#define PIM_DOMAIN_RAW_SOURCE_H

#include "domain/domain.h"

extern pim_raw_source pim_raw_from; // see pim_raw_set_source()

// A block of this many bytes was just allocated, or is about to be freed: an
// interpreter that lies in it has ended.
void pim_raw_watch_new(const void *block, size_t bytes);
void pim_raw_watch_freed(const void *block, size_t bytes);

// Whether pim_raw_arrived() is to be called at the next slow path of an allocation,
// outside the gate.  Set by the layer that knows CPython, as is that.
extern _Atomic bool pim_raw_awaited;
extern void (*pim_raw_arrived)(void);

// The source is not PIM_RAW_OWN.
void *pim_raw_source_alloc(size_t size, bool zero);

// A block that is in no heap of ours, not NULL, whatever the source.
void *pim_raw_source_realloc(void *block, size_t size);
void pim_raw_source_free(void *block);

#endif // PIM_DOMAIN_RAW_SOURCE_H
