// limits.c -- the limits of tenants.h.

#include <errno.h>

#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"

typedef struct query {
    pim_limit_figures limit;
    pim_figures figures;
} query;

static void
set_terms(void *arg, pim_heap *heap)
{
    pim_limit_set(&heap->limit, arg);
}

static void
get_figures(void *arg, pim_heap *heap)
{
    query *q = arg;
    pim_limit_get(&heap->limit, &q->limit);
    pim_heap_figures(heap, &q->figures);
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
    return pim_registry_visit(interp, set_terms, &terms) ||
                   pim_limit_set_ended(interp, &terms)
               ? 0
               : -ENOENT;
}

static void
get_defaults(query *q)
{
    pim_limit_get_default(&q->limit.terms);
    q->limit.interp = PIMALLOC_EACH;
    q->limit.parent = PIMALLOC_PROCESS;
    q->limit.counts_made = pim_limit_counts_by_default();
}

int
pimalloc_limit_get(int64_t interp, pimalloc_limit *out)
{
    query q = {.limit.interp = interp};
    if (interp == PIMALLOC_PROCESS || out == NULL ||
        out->size != sizeof(*out)) {
        return -EINVAL;
    }
    if (interp == PIMALLOC_EACH) {
        get_defaults(&q);
    } else if (!pim_registry_visit(interp, get_figures, &q) &&
               !pim_limit_get_ended(interp, &q.limit)) {
        return -ENOENT;
    }
    *out = (pimalloc_limit){.size = sizeof(*out),
                            .interp = q.limit.interp,
                            .soft_bytes = q.limit.terms.soft_bytes,
                            .hard_bytes = q.limit.terms.hard_bytes,
                            .refusals = q.limit.refusals,
                            .callback = q.limit.terms.callback,
                            .arg = q.limit.terms.arg,
                            .parent = q.limit.parent,
                            .counts_made = q.limit.counts_made,
                            .tree_bytes = q.limit.tree_bytes,
                            .left_bytes = q.limit.left_bytes};
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        out->live_bytes += q.figures.by_domain[domain_index].live_bytes;
    }
    return 0;
}

static void
count_made(void *arg, pim_heap *heap)
{
    pim_limit_count_made(&heap->limit, *(const int *)arg != 0);
}

int
pimalloc_limit_count_made(int64_t interp, int count)
{
    if (interp == PIMALLOC_PROCESS) {
        return -EINVAL;
    }
    if (interp == PIMALLOC_EACH) {
        pim_limit_count_by_default(count != 0, false);
        return 0;
    }
    return pim_registry_visit(interp, count_made, &count) ? 0 : -ENOENT;
}

int
pimalloc_limit_count_for(int64_t interp, int64_t parent)
{
    if (interp == PIMALLOC_PROCESS || interp == PIMALLOC_EACH ||
        parent == PIMALLOC_EACH) {
        return -EINVAL;
    }
    return pim_limit_count_for(interp, parent);
}
