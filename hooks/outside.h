// outside.h -- records of traced blocks that lie in no page: spans, large ones,
// and libc's.  A table by address, under a lock; it grows and shrinks.

#ifndef PIM_HOOKS_OUTSIDE_H
#define PIM_HOOKS_OUTSIDE_H

#include "hooks/traced_block.h"

// As their namesakes of side.h; `address` is that of the block.
bool pim_outside_put(const pim_traced_block *block, pim_record *stale);
bool pim_outside_take(const void *address, pim_record *out);
bool pim_outside_find(const void *address, pim_traced_block *out);
bool pim_outside_mark_code(const void *address); // false: no such block
int pim_outside_each(int64_t interp, pim_block_visitor visit, void *arg);
void pim_outside_ended(int64_t interp, bool keeps);
void pim_outside_forget(int64_t interp);
uint64_t pim_outside_bytes(void);

#endif // PIM_HOOKS_OUTSIDE_H
