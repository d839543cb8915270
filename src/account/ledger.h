// ledger.h -- reads the accounts of a heap.

#ifndef PIM_ACCOUNT_LEDGER_H
#define PIM_ACCOUNT_LEDGER_H

#include "account/account.h"

// Of one domain, or of one size class of it.
typedef struct pim_usage {
    uint64_t live_bytes;
    uint64_t live_blocks;
    uint64_t peak_bytes;
    uint64_t peak_blocks;
    uint64_t total_bytes; // allocated, ever
    uint64_t total_blocks;
} pim_usage;

// Of one domain, by class: blocks, and bytes where they do not follow from
// those.
typedef struct pim_class_figures {
    uint64_t live[PIM_ACCOUNT_CLASSES];
    uint64_t peak[PIM_ACCOUNT_CLASSES];
    uint64_t total[PIM_ACCOUNT_CLASSES];
    uint64_t live_bytes[PIM_VARIED];
    uint64_t peak_bytes[PIM_VARIED];
    uint64_t total_bytes[PIM_VARIED];
} pim_class_figures;

// Each figure is exact at some moment of the call.  Any thread.
pim_usage pim_ledger_usage(const pim_ledger *ledger, unsigned domain_index);
void pim_ledger_class_figures(const pim_ledger *ledger, unsigned domain_index,
                              pim_class_figures *out);

// Live bytes of all domains.  Returns whether they are exact, as above: not if
// the heap was too busy.  Any thread.
bool pim_ledger_live_bytes(const pim_ledger *ledger, uint64_t *bytes);

pim_usage pim_class_usage(const pim_class_figures *figures, size_t size_class);

#endif // PIM_ACCOUNT_LEDGER_H
