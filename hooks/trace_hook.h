// trace_hook.h -- the hook of a trace: what it does at each request.

#ifndef PIM_HOOKS_TRACE_HOOK_H
#define PIM_HOOKS_TRACE_HOOK_H

#include "base/atomic.h"
#include "pimalloc/trace.h"

// A trace that runs.
typedef struct pim_trace_scope {
    int64_t interp;
    unsigned frames;
    int handle;           // 0: none
    _Atomic bool is_over; // its interpreter has ended
} pim_trace_scope;

// Blocks for whose record there was no memory.
extern _Atomic uint64_t pim_trace_lost;

// The stack of who has no thread state.
extern _Atomic uint32_t pim_trace_unknown;

// Pushes the hook; returns what pimalloc_hook_push() does.
int pim_trace_push(pim_trace_scope *s);

#endif // PIM_HOOKS_TRACE_HOOK_H
