// free.h -- blocks given back.

#ifndef PIM_HEAP_FREE_H
#define PIM_HEAP_FREE_H

#include "heap/heap.h"

// Puts a page whose countdown ended where it belongs.  Owner.
void pim_heap_free_slow(pim_heap *heap, pim_page *page);

// Gives a block back to its page, which the heap owns; `domain_index` is its
// domain's.
PIM_INLINE void
pim_heap_push(pim_heap *heap, pim_page *page, unsigned domain_index, void *p)
{
    pim_block *block = p;
    PIM_ASSERT(pim_page_used(page) != 0 &&
               domain_index == PIM_DOMAIN_INDEX(page->domain));
    block->next = page->free;
    page->free = block;
    pim_account_take(&heap->account[domain_index], page->size_class,
                     page->block_size);
    if (PIM_UNLIKELY(--page->countdown == 0)) {
        pim_heap_free_slow(heap, page);
    }
}

// Checks that an address is that of a block that was handed out of a page
// without orphans.  Owner.
PIM_INLINE void
pim_heap_check_block(const pim_page *page, const void *block)
{
    size_t offset = (size_t)((const char *)block - pim_page_start(page));
    PIM_CHECK(offset % page->block_size == 0,
              "free of an address inside a block", block);
    PIM_CHECK(offset / page->block_size < page->carved,
              "free of an address that is not a live block", block);
}

// Frees a block of a page that the caller does not own.
void pim_heap_free_remote(pim_page *page, void *block);

// Frees a block in a page of the heap that holds orphans.
void pim_heap_free_reclaimed(pim_heap *heap, pim_page *page, void *block);

#endif // PIM_HEAP_FREE_H
