// figures.h -- the figures of a heap, as copied out for statistics.

#ifndef PIM_HEAP_FIGURES_H
#define PIM_HEAP_FIGURES_H

#include "heap/heap.h"

// Of one domain, or of one size class of it.
typedef struct pim_usage {
    uint64_t live_bytes;
    uint64_t live_blocks;
    uint64_t peak_bytes;
    uint64_t peak_blocks;
    uint64_t total_bytes; // allocated, ever
    uint64_t total_blocks;
} pim_usage;

typedef struct pim_figures {
    int64_t id;
    uint32_t generation;
    bool ended;
    pim_usage slot[PIM_SLOTS];
    uint64_t arenas;
    uint64_t pages;
    uint64_t committed_bytes;
    uint64_t remote_frees;
    int64_t parent;      // whom it counts for; PIM_PROCESS_ID: nobody
    uint64_t tree_bytes; // live in all that counts for it
} pim_figures;

// Of one slot, by class: blocks, and bytes where they do not follow from those.
typedef struct pim_class_figures {
    uint64_t live[PIM_ACCOUNT_CLASSES];
    uint64_t peak[PIM_ACCOUNT_CLASSES];
    uint64_t total[PIM_ACCOUNT_CLASSES];
    uint64_t live_bytes[PIM_VARIED];
    uint64_t peak_bytes[PIM_VARIED];
    uint64_t total_bytes[PIM_VARIED];
} pim_class_figures;

// Reads a heap's figures, each exact at some moment of the call.  Any thread.
void pim_heap_figures(const pim_heap *heap, pim_figures *out);
void pim_heap_class_figures(const pim_heap *heap, unsigned slot,
                            pim_class_figures *out);

// Live bytes of all domains.  Returns whether they are exact, as above: not if the
// heap was too busy.  Any thread.
bool pim_heap_live_bytes(const pim_heap *heap, uint64_t *bytes);

pim_usage pim_class_usage(const pim_class_figures *figures, size_t size_class);

#endif // PIM_HEAP_FIGURES_H
