// raw_foreign.h -- raw blocks that lie in no heap of ours: from libc's malloc,
// or from mimalloc where that is libc's; and those that are older than we are.

#ifndef PIM_DOMAIN_RAW_FOREIGN_H
#define PIM_DOMAIN_RAW_FOREIGN_H

#include "domain/domain.h"

extern pim_raw_source pim_raw_from; // see pim_raw_set_source()

// Whether pim_raw_arrived() is to be called at the next slow path of an
// allocation, outside the gate.  Set by the layer that knows CPython, as is
// that.
extern _Atomic bool pim_raw_awaited;
extern void (*pim_raw_arrived)(void);

// The source is not PIM_RAW_OWN.
void *pim_raw_foreign_alloc(size_t size, bool zero);

// Usable bytes of a block of libc's that is in no heap of ours, where libc is
// not the source; 0: it is another's.
size_t pim_raw_foreign_libc_bytes(void *block);

// The same of any block that is in no heap of ours, its tag included.
size_t pim_raw_foreign_bytes(void *block);

// A block that is in no heap of ours, not NULL, whatever the source.  realloc:
// and not one of the above.
void *pim_raw_foreign_realloc(void *block, size_t size);
void pim_raw_foreign_free(void *block);

#endif // PIM_DOMAIN_RAW_FOREIGN_H
