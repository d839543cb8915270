// walk.c -- pimalloc_walk(): the heap's walk in public terms.

#include <errno.h>

#include "interp/registry.h"
#include "interp/roster.h"
#include "interp/walk.h"
#include "pimalloc/tenants.h"

typedef struct tour {
    pimalloc_visitor visit;
    void *arg;
    int64_t interp;
} tour;

static int
show(void *arg, const pim_found *found)
{
    const tour *t = arg;
    pimalloc_block block = {.size = sizeof(block),
                            .interp = t->interp,
                            .address = found->address,
                            .bytes = found->bytes,
                            .domain = (int)found->domain,
                            .size_class = (int)found->size_class};
    return t->visit(t->arg, &block);
}

int
pimalloc_walk(int64_t interp, pimalloc_visitor visit, void *arg)
{
    tour t = {.visit = visit, .arg = arg, .interp = interp};
    if (visit == NULL) {
        return -EINVAL;
    }
    if (pim_region.base == NULL || pim_gate_is_adrift()) {
        return -ENOENT;
    }
    if (interp == PIMALLOC_PROCESS) {
        return pim_walk_process(show, &t);
    }
    pim_heap *heap = pim_registry_heap(interp);
    if (heap == NULL) {
        return -ENOENT;
    }
    t.interp = heap->id; // main's for a legacy one
    return pim_walk_heap(heap, show, &t);
}
