// figures.h -- the figures of a heap, as copied out for statistics.

#ifndef PIM_INTERP_FIGURES_H
#define PIM_INTERP_FIGURES_H

#include "account/ledger.h"
#include "heap/heap.h"

typedef struct pim_figures {
    int64_t id;
    uint32_t generation;
    bool ended;
    pim_usage by_domain[PIM_DOMAINS];
    uint64_t arenas;
    uint64_t pages;
    uint64_t committed_bytes;
    uint64_t remote_frees;
    int64_t parent;      // whom it counts for; PIM_PROCESS_ID: nobody
    uint64_t tree_bytes; // live in all that counts for it
} pim_figures;

// Reads a heap's figures, each exact at some moment of the call.  Any thread.
void pim_heap_figures(pim_heap *heap, pim_figures *out);

// The same of one domain, by class.
PIM_INLINE void
pim_heap_class_figures(pim_heap *heap, unsigned domain_index,
                       pim_class_figures *out)
{
    pim_ledger ledger = pim_heap_ledger(heap);
    pim_ledger_class_figures(&ledger, domain_index, out);
}

#endif // PIM_INTERP_FIGURES_H
