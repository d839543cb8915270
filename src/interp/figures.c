// figures.c -- the figures of a heap, read by any thread while the owner is at
// work.

#include "interp/figures.h"

#include "abandoned/retained.h"
#include "account/ledger.h"

static void
put_tree(const pim_heap *heap, pim_figures *out)
{
    if (heap->limit.budget != NULL) {
        pim_limit_figures limit;
        pim_limit_get(&heap->limit, &limit);
        out->parent = limit.parent;
        out->tree_bytes = limit.tree_bytes;
        return;
    }
    out->parent = PIM_PROCESS_ID;
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        out->tree_bytes += out->by_domain[domain_index].live_bytes;
    }
}

// The process answers for what ended interpreters left.  In its account that is
// already.
static void
add_abandoned(pim_figures *out)
{
    out->arenas += pim_load_relaxed(&pim_abandoned_arenas.arenas);
    out->pages += pim_load_relaxed(&pim_abandoned_pages);
    out->committed_bytes +=
        pim_load_relaxed(&pim_abandoned_arenas.dirty_units) * PIM_UNIT_SIZE;
}

void
pim_heap_figures(pim_heap *heap, pim_figures *out)
{
    pim_ledger ledger = pim_heap_ledger(heap);
    *out = (pim_figures){.id = heap->id, .generation = heap->generation};
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        out->by_domain[domain_index] = pim_ledger_usage(&ledger, domain_index);
    }
    out->arenas = pim_load_relaxed(&heap->arenas.arenas);
    out->pages = pim_load_relaxed(&heap->page_count);
    out->committed_bytes =
        pim_load_relaxed(&heap->arenas.dirty_units) * PIM_UNIT_SIZE +
        pim_load_relaxed(&heap->large_bytes) +
        pim_load_relaxed(&heap->idle_bytes);
    out->remote_frees = pim_load_relaxed(&heap->remote.frees);
    if (pim_heap_is_process(heap)) {
        add_abandoned(out);
    }
    put_tree(heap, out);
}
