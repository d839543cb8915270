// mi_blocks.h -- blocks of mimalloc's main heap, asked for with what extent.c
// keeps in mind: that makes way for large ones, and goes back to the system
// before a request is refused.
//
// Inside the gate, all of it.  Any thread; no lock after "extents" (LOCK-2)
// is held.

#ifndef PIM_EXTENT_MI_BLOCKS_H
#define PIM_EXTENT_MI_BLOCKS_H

#include "base/keep_errno.h"
#include "extent/extent.h"
#include "mi/mi.h"

// The rare half of what follows.
void *pim_mi_alloc_again(size_t size, bool zero, size_t *bytes);

// Like pim_mi_malloc().
PIM_INLINE void *
pim_mi_alloc(size_t size, bool zero, size_t *bytes)
{
    PIM_KEEP_ERRNO;
    if (PIM_UNLIKELY(!pim_load_acquire(&pim_mi_is_prepared))) {
        pim_mi_prepare();
    }
    if (PIM_UNLIKELY(size >= PIM_EXTENT_KEPT_MIN)) {
        pim_extent_make_way(size);
    }
    void *block = pim_mi_malloc(size, zero, bytes);
    return PIM_LIKELY(block != NULL) ? block
                                     : pim_mi_alloc_again(size, zero, bytes);
}

// Like pim_mi.ufree().  What mimalloc keeps of it goes with the next tick.
void pim_mi_free(void *block);

// When to call pim_mi_purge(), in now_ms(); 0: nothing was freed.  mimalloc
// itself gives memory back only while it is asked for more.
extern _Atomic uint64_t pim_mi_until;
void pim_mi_purge(void);

// Like pim_mi.urealloc().
void *pim_mi_realloc(void *block, size_t size, size_t *before, size_t *after);

#endif // PIM_EXTENT_MI_BLOCKS_H
