// find_owner.c -- whose block lies at an address?
//
// The address comes from outside and may be anything, so nothing is read there
// but the word in front of what may be a large block (see large.c).  A block
// that is freed meanwhile gets some answer.

#include "interp/find_owner.h"

#include <inttypes.h>
#include <stdio.h>

#include "arena/region.h"
#include "heap/large.h"

static bool
small_owner(const void *address, int64_t *id)
{
    const pim_page *page = pim_page_of(address);
    bool tagged;
    const pim_heap *heap = pim_page_owner(page, &tagged);
    if (heap == NULL) {
        return false; // nobody's
    }
    const char *start = pim_page_start(page);
    // The page may go away under us.
    size_t size = __atomic_load_n(&page->block_size, __ATOMIC_RELAXED);
    if (size == 0) {
        return false;
    }
    size_t index = (size_t)((const char *)address - start) / size;
    const char *block = start + index * size;
    bool orphan = tagged && pim_block_set_has(pim_page_orphans(page),
                                              pim_block_granule(start, block));
    *id = orphan ? PIM_PROCESS_ID : heap->id;
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

// --- in words --------------------------------------------------------------

static const char *
domain_of(const pim_page *page, const pim_heap *heap)
{
    bool is_raw = page->domain == PIM_RAW ||
                  (heap != &pim_defunct_heap && heap->id == PIM_PROCESS_ID &&
                   !pim_heap_is_process(heap));
    return is_raw ? "raw" : page->domain == PIM_OBJ ? "obj" : "mem";
}

// Whose blocks a page's are, but for orphans in it.
static const char *
owner_of(const pim_heap *heap, char *text, size_t size)
{
    if (heap == &pim_defunct_heap) {
        return "an interpreter that has ended";
    }
    if (heap->id == PIM_PROCESS_ID) {
        return "the process";
    }
    snprintf(text, size, "interpreter %" PRId64, heap->id);
    return text;
}

bool
pim_heap_describe(const void *address, char *text, size_t size)
{
    if (!pim_region_contains(address)) {
        return false;
    }
    const pim_page *page = pim_page_of(address);
    bool tagged;
    const pim_heap *heap = pim_page_owner(page, &tagged);
    size_t bytes = __atomic_load_n(&page->block_size, __ATOMIC_RELAXED);
    if (heap == NULL || bytes == 0) {
        return false;
    }
    char owner[40];
    size_t offset = (size_t)((const char *)address - pim_page_start(page));
    snprintf(text, size, "offset %zu of a block of %zu bytes, domain %s, of %s",
             offset % bytes, bytes, domain_of(page, heap),
             owner_of(heap, owner, sizeof(owner)));
    return true;
}
