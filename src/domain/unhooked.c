// unhooked.c -- what serves a request that has passed all hooks, or none.

#include "arena/region.h"
#include "domain/hooked.h"
#include "domain/raw_foreign.h"
#include "heap/large.h"
#include "interp/current.h"

void *
pim_unhooked_alloc(unsigned domain, size_t size, bool zero)
{
    return domain == PIM_RAW ? pim_raw_alloc(size, zero)
                             : pim_mem_obj_alloc(domain, size, zero);
}

void *
pim_unhooked_resize(unsigned domain, void *block, size_t size)
{
    return domain == PIM_RAW ? pim_raw_resize(block, size)
                             : pim_mem_obj_resize(domain, block, size);
}

void
pim_unhooked_free(unsigned domain, void *block)
{
    if (domain == PIM_RAW) {
        pim_raw_give(block);
    } else {
        pim_mem_obj_free(domain, block);
    }
}

int64_t
pim_request_interp(unsigned domain)
{
    if (domain != PIM_RAW) {
        return pim_current_heap()->id;
    }
    const pim_heap *heap =
        pim_raw_from == PIM_RAW_OWN ? pim_current_owner() : NULL;
    return heap != NULL ? heap->id : PIM_PROCESS_ID;
}

// Whose heap the caller does not own may end at any time, so its id is read inside
// the gate.
static int64_t
small_interp(const void *block)
{
    bool tagged;
    const pim_page *page = pim_page_of(block);
    const pim_heap *heap = pim_page_owner(page, &tagged);
    if (PIM_LIKELY(!tagged && heap != NULL && heap == pim_current_hooked())) {
        return heap->id;
    }
    pim_gate_enter();
    heap = pim_page_owner(page, &tagged);
    bool is_orphan =
        tagged &&
        pim_block_set_has(pim_page_orphans(page),
                          pim_block_granule(pim_page_start(page), block));
    int64_t id = heap == NULL || is_orphan ? PIM_PROCESS_ID : heap->id;
    pim_gate_exit();
    return id;
}

int64_t
pim_block_interp(unsigned domain, const void *block)
{
    int64_t id = PIM_PROCESS_ID;
    if (pim_region_contains(block)) {
        return small_interp(block);
    }
    if (domain != PIM_RAW || pim_raw_from == PIM_RAW_OWN) {
        pim_gate_enter();
        pim_large_owner(block, &id);
        pim_gate_exit();
    }
    return id;
}

size_t
pim_block_bytes(unsigned domain, void *block)
{
    if (pim_region_contains(block)) {
        return pim_page_of(block)->block_size;
    }
    bool is_heaps = domain != PIM_RAW || pim_raw_from == PIM_RAW_OWN;
    size_t bytes = is_heaps ? pim_large_usable(block) : 0;
    return bytes != 0 || domain != PIM_RAW ? bytes
                                           : pim_raw_foreign_bytes(block);
}
