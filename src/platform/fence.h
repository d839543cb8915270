// fence.h -- a fence in all threads at once, paid for by who asks for it.
//
// pim_gate.fence_on_enter (gate_state.h) says whether threads that enter
// execute one themselves; then there is nothing to ask for.

#ifndef PIM_PLATFORM_FENCE_H
#define PIM_PLATFORM_FENCE_H

// Asks the system for the means: at the start, and in a forked child, which has
// one thread.
void pim_fence_start(void);
void pim_fence_in_child(void);

// Afterwards, whatever the caller wrote before is seen by a thread that entered
// later, and what a thread wrote to enter before is seen by the caller.
void pim_fence_everywhere(void);

#endif // PIM_PLATFORM_FENCE_H
