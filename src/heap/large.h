// large.h -- blocks outside the arenas.

#ifndef PIM_HEAP_LARGE_H
#define PIM_HEAP_LARGE_H

#include "heap/large_header.h"

// Large blocks (large.c).  `size` is at most PIM_REQUEST_MAX; owner of `heap`.
// Spans that found no place in an arena come here, so here it is reported if a
// limit is the reason: outside the gate, unless the heap is the process's.
void *pim_large_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero);

// A block that stands for a sampled one of that size, with its mark.  NULL:
// there is none to be had, or a limit is in the way, which is not reported.
void *pim_large_alloc_marked(pim_heap *heap, unsigned domain, size_t size,
                             bool zero, uint64_t mark);

// A block that is in no heap's account, because no heap is the caller's: it
// counts it.  Any thread.
void *pim_large_alloc_unowned(unsigned domain, size_t size, bool zero);

// Frees a block outside the region; `heap` is the caller's own heap.  A pointer
// that is not ours is left alone and counted (pim_foreign_frees).
void pim_large_free(pim_heap *heap, void *block);

// Grows or shrinks in place or by moving the map.  NULL: not possible here, the
// block is as it was and the caller copies.
void *pim_large_resize(pim_heap *heap, void *block, size_t size);

// Like pim_large_alloc() for a block that is being grown: with room for that.
// NULL: there is none to be had, or the block is too small to deserve it.
void *pim_large_alloc_growing(pim_heap *heap, unsigned domain, size_t size);

// The heap is being retired, nobody frees its blocks as its owner any more, and
// its policy is not to keep them: they go.  The process answers for what cannot
// go, and for raw blocks, which no interpreter's end makes useless.  Under the
// process heap's lock; heap->condemned.gone grows by what went.  Returns
// whether pim_poison_extents_finish() has something to do.
bool pim_large_condemn(pim_heap *heap);

extern _Atomic uint64_t pim_foreign_frees;

#endif // PIM_HEAP_LARGE_H
