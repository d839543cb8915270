// heap_inline.h -- the fast paths of a heap.  The caller is its owner (HEAP-1).

#ifndef PIM_HEAP_HEAP_INLINE_H
#define PIM_HEAP_HEAP_INLINE_H

#include "heap/heap.h"

// Takes a block of a class, or NULL if the current page has none free.
PIM_INLINE void *
pim_heap_pop(pim_heap *heap, unsigned slot, size_t size_class)
{
    pim_page *page = heap->current[slot][size_class];
    pim_block *block = page->free;
    if (PIM_UNLIKELY(block == NULL)) {
        return NULL;
    }
    page->free = block->next;
    page->countdown++;
    PIM_ASSERT(pim_page_used(page) <= page->capacity);
    pim_account_grow(&heap->account[slot], size_class, page->block_size);
    return block;
}

// Gives a block back to its page, which the heap owns; `slot` is its domain's.
PIM_INLINE void
pim_heap_push(pim_heap *heap, pim_page *page, unsigned slot, void *p)
{
    pim_block *block = p;
    PIM_ASSERT(pim_page_used(page) != 0 && slot == PIM_SLOT(page->domain));
    block->next = page->free;
    page->free = block;
    pim_account_shrink(&heap->account[slot], page->size_class,
                       page->block_size);
    if (PIM_UNLIKELY(--page->countdown == 0)) {
        pim_heap_free_slow(heap, page);
    }
}

// Allocates 1 to PIM_SMALL_MAX bytes; NULL if there is no memory.
PIM_INLINE void *
pim_heap_alloc(pim_heap *heap, unsigned slot, size_t size)
{
    unsigned size_class = pim_size_class(size);
    void *block = pim_heap_pop(heap, slot, size_class);
    if (PIM_UNLIKELY(block == NULL)) {
        block = pim_heap_alloc_slow(heap, slot, size_class);
    }
    return block;
}

#endif // PIM_HEAP_HEAP_INLINE_H
