// alloc.h -- blocks up to PIM_SMALL_MAX.  The caller is the owner (HEAP-1).

#ifndef PIM_HEAP_ALLOC_H
#define PIM_HEAP_ALLOC_H

#include "heap/heap.h"

// Allocates from a class whose current page has no free block.  NULL: no
// memory, or a limit, which was reported; the heap is as it was.  Owner,
// outside the gate unless it is the process heap's.
void *pim_heap_alloc_slow(pim_heap *heap, unsigned domain_index,
                          unsigned size_class);

// The credit of a domain's account does not suffice for the block, which is
// returned, so that a fast path may end with this.  Owner.
PIM_COLD void *pim_heap_look(pim_heap *heap, unsigned domain_index,
                             size_t size_class, void *block)
    __attribute__((returns_nonnull));

// Takes a block of a class, or NULL if the current page has none free.
PIM_INLINE void *
pim_heap_pop(pim_heap *heap, unsigned domain_index, size_t size_class)
{
    pim_page *page = heap->current[domain_index][size_class];
    pim_block *block = page->free;
    if (PIM_UNLIKELY(block == NULL)) {
        return NULL;
    }
    page->free = block->next;
    page->countdown++;
    PIM_ASSERT(pim_page_used(page) <= page->capacity);
    if (PIM_LIKELY(pim_account_hand(&heap->account[domain_index], size_class,
                                    page->block_size))) {
        return block;
    }
    return pim_heap_look(heap, domain_index, size_class, block);
}

// Allocates 1 to PIM_SMALL_MAX bytes; NULL if there is no memory.
PIM_INLINE void *
pim_heap_alloc(pim_heap *heap, unsigned domain_index, size_t size)
{
    unsigned size_class = pim_size_class(size);
    void *block = pim_heap_pop(heap, domain_index, size_class);
    if (PIM_UNLIKELY(block == NULL)) {
        block = pim_heap_alloc_slow(heap, domain_index, size_class);
    }
    return block;
}

#endif // PIM_HEAP_ALLOC_H
