// owner.c -- whose block lies at an address?
//
// The address comes from outside and may be anything, so nothing is read there
// but the word in front of what may be a large block (see large.c).  A block that
// is freed meanwhile gets some answer.

#include "heap/heap.h"

static bool
small_owner(const void *address, int64_t *id)
{
    if (!pim_region_is_open(address)) {
        return false;
    }
    const pim_page *page = pim_page_of(address);
    bool tagged;
    const pim_heap *heap = pim_page_owner(page, &tagged);
    if (page->state == PIM_PAGE_UNUSED || heap == NULL) {
        return false;
    }
    const char *start = pim_page_start(page);
    // The page may go away under us.
    size_t size = __atomic_load_n(&page->block_size, __ATOMIC_RELAXED);
    if (size == 0) {
        return false;
    }
    size_t index = (size_t)((const char *)address - start) / size;
    const char *block = start + index * size;
    bool leftover = tagged && pim_block_set_has(pim_page_leftovers(page),
                                                pim_block_place(start, block));
    *id = leftover ? PIM_PROCESS_ID : heap->id;
    return index < page->capacity;
}

bool
pim_heap_find_owner(const void *address, int64_t *id)
{
    pim_gate_enter();
    bool found = pim_region_contains(address) ? small_owner(address, id)
                                              : pim_large_owner(address, id);
    pim_gate_exit();
    return found;
}
