// limits.c -- the limits of tenants.h.

#include <errno.h>

#include "heap/registry.h"

typedef struct query {
    pim_limit_terms terms;
    pim_figures figures;
    uint64_t refusals;
} query;

static void
set_terms(void *arg, pim_heap *heap)
{
    pim_limit_set(heap, arg);
}

static void
get_terms(void *arg, pim_heap *heap)
{
    query *q = arg;
    pim_limit_get(heap, &q->terms);
    pim_heap_figures(heap, &q->figures);
    q->refusals = pim_load_relaxed(&heap->limit.refusals);
}

int
pimalloc_limit_set(int64_t interp, uint64_t soft_bytes, uint64_t hard_bytes,
                   pimalloc_limit_callback callback, void *arg)
{
    pim_limit_terms terms = {.soft_bytes = soft_bytes,
                             .hard_bytes = hard_bytes,
                             .callback = callback,
                             .arg = arg};
    if (interp == PIMALLOC_PROCESS || !pim_limit_terms_are_valid(&terms)) {
        return -EINVAL;
    }
    if (interp == PIMALLOC_EACH) {
        pim_limit_set_default(&terms, false);
        return 0;
    }
    return pim_registry_visit(interp, set_terms, &terms) ? 0 : -ENOENT;
}

int
pimalloc_limit_get(int64_t interp, pimalloc_limit *out)
{
    query q = {.figures.id = PIMALLOC_EACH};
    if (interp == PIMALLOC_PROCESS || out == NULL ||
        out->size != sizeof(*out)) {
        return -EINVAL;
    }
    if (interp == PIMALLOC_EACH) {
        pim_limit_get_default(&q.terms);
    } else if (!pim_registry_visit(interp, get_terms, &q)) {
        return -ENOENT;
    }
    *out = (pimalloc_limit){.size = sizeof(*out),
                            .interp = q.figures.id,
                            .soft_bytes = q.terms.soft_bytes,
                            .hard_bytes = q.terms.hard_bytes,
                            .refusals = q.refusals,
                            .callback = q.terms.callback,
                            .arg = q.terms.arg};
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        out->live_bytes += q.figures.slot[slot].live_bytes;
    }
    return 0;
}
