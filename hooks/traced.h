// traced.h -- what is traced of each interpreter, in figures.
//
// Of a traced heap its owner counts with plain stores; what others free of it is
// counted apart, as in accounts.  What no interpreter answers for is counted with
// atomic additions.

#ifndef PIM_HOOKS_TRACED_H
#define PIM_HOOKS_TRACED_H

#include "heap/heap.h"
#include "hooks/stacks.h"

// Of one interpreter, or of the process.
typedef struct pim_traced {
    struct pim_traced *next;
    int64_t interp;
    _Atomic uint64_t live_bytes; // handed out
    _Atomic uint64_t live_blocks;
    _Atomic uint64_t gone_bytes; // of these, what others took back
    _Atomic uint64_t gone_blocks;
    _Atomic uint64_t peak_bytes;
    unsigned noted;          // owner: since the last sweep
    pim_stack_memory memory; // owner
} pim_traced;

// That of a heap; NULL: no memory.  Owner.
pim_traced *pim_traced_of(pim_heap *heap);

// A block of an interpreter is traced from now on, or not any more.  `mine` is
// that of the caller's heap, or NULL.
void pim_traced_add(pim_traced *mine, int64_t interp, uint64_t bytes);
void pim_traced_take(pim_traced *mine, int64_t interp, uint64_t bytes);

// The interpreter has ended: its figures become the process's, or go.
void pim_traced_ended(int64_t interp, bool keeps);

// Nothing is traced of an interpreter, or of all.  No hook is active there.
void pim_traced_forget(int64_t interp);

// Adds an interpreter's, or all.
void pim_traced_figures(int64_t interp, pimalloc_trace_figures *out);
void pim_traced_reset_peak(int64_t interp);

#endif // PIM_HOOKS_TRACED_H
