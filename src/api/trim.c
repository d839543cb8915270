// trim.c -- questions and requests about memory itself, for pimalloc.h.

#include <errno.h>

#include "abandoned/retained.h"
#include "arena/region.h"
#include "cpython/symbols.h"
#include "domain/raw_small.h"
#include "extent/mi_blocks.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/current.h"
#include "interp/find_owner.h"
#include "interp/freeze.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "pimalloc/tenants.h"

int
pimalloc_owner(const void *address, int64_t *interp)
{
    if (pim_region.base == NULL) {
        return -ENOENT;
    }
    return pim_heap_find_owner(address, interp) ? 0 : -ENOENT;
}

// Of the process; inside the gate.
static size_t
trim_process(void)
{
    pim_lock_acquire(&pim_process_lock);
    pim_heap_drain(&pim_process_heap);
    size_t bytes = pim_heap_purge(&pim_process_heap, true);
    bytes += pim_retained_trim(true);
    pim_lock_release(&pim_process_lock);
    bytes += pim_raw_small_trim();
    bytes += pim_extent_trim(true);
    bytes += pim_region_trim();
    pim_mi_purge();
    return bytes;
}

// The caller's own; inside the gate.
static size_t
trim_own(pim_heap *heap)
{
    pim_heap_drain(heap);
    return pim_heap_purge(heap, true);
}

typedef struct trimming {
    const pim_heap *own; // done already
    const pim_heap *one; // NULL: all others
    size_t bytes;
} trimming;

static void
trim_other(void *arg, pim_heap *heap)
{
    trimming *r = arg;
    if (heap != r->own && (r->one == NULL || heap == r->one)) {
        r->bytes += pim_heap_purge_from_outside(heap, true);
    }
}

static size_t
trim_others(const pim_heap *own, const pim_heap *one)
{
    trimming r = {.own = own, .one = one};
    if (pim_gate_close()) {
        pim_registry_each_heap(trim_other, &r);
        pim_gate_open();
    }
    return r.bytes;
}

size_t
pimalloc_trim(int64_t interp)
{
    if (pim_region.base == NULL || pim_gate_is_adrift()) {
        return 0;
    }
    pim_heap *own = pim_current_heap();
    bool each = interp == PIMALLOC_EACH;
    const pim_heap *meant =
        each || interp == PIMALLOC_PROCESS ? NULL : pim_registry_heap(interp);
    size_t bytes = 0;
    if (each || (meant != NULL && meant != own)) {
        bytes += trim_others(own, meant);
    }
    pim_gate_enter();
    if (!pim_heap_is_process(own) && (each || meant == own)) {
        bytes += trim_own(own);
    }
    bytes += trim_process();
    pim_gate_exit();
    return bytes;
}

int
pimalloc_prefork_freeze(void)
{
    if (pim_region.base == NULL) {
        return -ENOENT;
    }
    if (pim_gate_is_adrift()) {
        return 0; // nothing is taken from the heaps any more
    }
    pim_heap *own = pim_current_heap();
    pimalloc_trim(PIMALLOC_PROCESS);
    pim_gate_enter();
    if (!pim_heap_is_process(own)) {
        pim_heap_freeze(own);
    }
    pim_lock_acquire(&pim_process_lock);
    pim_heap_freeze(&pim_process_heap);
    pim_lock_release(&pim_process_lock);
    pim_raw_small_freeze();
    pim_gate_exit();
    return 0;
}
