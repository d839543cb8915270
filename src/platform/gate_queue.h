// gate_queue.h -- waiting at a closed gate.

#ifndef PIM_PLATFORM_GATE_QUEUE_H
#define PIM_PLATFORM_GATE_QUEUE_H

#include "platform/gate_state.h"

// Waits, outside, until the gate is open or `self`, who comes to it, may pass
// all the same.  Returns at which closing; 0: the gate is open.
uint64_t pim_gate_queue(const pim_thread *self);

#endif // PIM_PLATFORM_GATE_QUEUE_H
