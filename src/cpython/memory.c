// memory.c -- questions and requests about memory itself, for pimalloc.h.

#include <errno.h>

#include "cpython/api.h"
#include "domain/raw_small.h"
#include "heap/current.h"
#include "heap/maps.h"
#include "mi/mi.h"
#include "pimalloc/pimalloc.h"

int
pimalloc_owner(const void *address, int64_t *interp)
{
    if (pim_region.base == NULL) {
        return -ENOENT;
    }
    return pim_heap_find_owner(address, interp) ? 0 : -ENOENT;
}

size_t
pimalloc_trim(void)
{
    if (pim_region.base == NULL) {
        return 0;
    }
    pim_heap *heap = pim_current_heap();
    bool is_process = pim_heap_is_process(heap);
    size_t bytes = 0;
    pim_gate_enter();
    if (!is_process) {
        pim_heap_drain(heap);
        bytes += pim_heap_purge(heap, true);
    }
    pim_lock_acquire(&pim_process_lock);
    pim_heap_drain(&pim_process_heap);
    bytes += pim_heap_purge(&pim_process_heap, true);
    bytes += pim_warm_trim(true);
    pim_lock_release(&pim_process_lock);
    bytes += pim_raw_small_trim();
    bytes += pim_maps_trim(true);
    bytes += pim_region_trim();
    pim_mi.purge();
    pim_gate_exit();
    return bytes;
}
