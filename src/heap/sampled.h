// sampled.h -- blocks that a profile takes as samples, for all the others.
//
// The account says when one is due.  The block that was handed out then is
// exchanged for one outside the arenas, whose header has room for a mark: so the
// free of a sampled block is noticed where no other free has to look.
//
//   small   given back; a large block takes its place
//   span    a large block is handed out instead
//   large   marked where it is
//
// What a block grows by in place is no sample, nor is what took a sampled block's
// place.  The process heap and the raw heap have no samples taken, and what is
// too close to a limit to be exchanged counts as freed.

#ifndef PIM_HEAP_SAMPLED_H
#define PIM_HEAP_SAMPLED_H

#include "heap/heap.h"

// Who takes samples.
typedef struct pim_sampler {
    // Notes a block of so many bytes that the calling thread was given; returns
    // its mark.  0: it is not noted.
    uint64_t (*take)(const pim_heap *heap, unsigned domain, size_t bytes);

    // A marked block is freed, or gone with its interpreter.  Any thread, under
    // any lock of a heap's.
    void (*freed)(uint64_t mark);
} pim_sampler;

// Set once.  NULL: no samples were ever taken.
extern _Atomic(const pim_sampler *) pim_sampler_now;

// Nothing that was handed out until now is to be sampled.  Owner.
void pim_heap_skip_sample(pim_heap *heap, unsigned domain);

// The mark of a block of so many bytes, if it is to be sampled; then the next
// sample is awaited.  0: it is not.  `ahead`: bytes of it that are not handed out
// yet, so all or 0.  Owner.
uint64_t pim_heap_take_sample(pim_heap *heap, unsigned domain, size_t bytes,
                              size_t ahead);

PIM_INLINE void
pim_heap_sample_freed(uint64_t mark)
{
    if (PIM_UNLIKELY(mark != 0)) {
        pim_load_acquire(&pim_sampler_now)->freed(mark);
    }
}

#endif // PIM_HEAP_SAMPLED_H
