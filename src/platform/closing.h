// closing.h -- what pim_gate_close() and fork() do to keep the others out, and
// wait for those inside.

#ifndef PIM_PLATFORM_CLOSING_H
#define PIM_PLATFORM_CLOSING_H

#include "platform/gate_state.h"
#include "platform/lock.h"

// Held by who has closed the gate.
extern pim_lock pim_gate_lock;

// PIM_INSIDE_PATIENCE_MS, but in tests.
extern unsigned pim_inside_patience_ms;

// Spins politely: sections are short unless their thread was descheduled.
// Returns whether it has slept.
bool pim_gate_pause(unsigned *rounds);

// Waits until each other thread that is inside has left once.  False: one
// stays.  `what` waits, in the message that is then given once.
bool pim_gate_wait_for_others(const char *what);
void pim_gate_say_whom(const char *what, int thread_id);

// Closes and opens the gate, under the lock; `why` is an enum pim_gate_closed.
void pim_gate_shut(uint32_t why);
void pim_gate_let_all_in(void);

#endif // PIM_PLATFORM_CLOSING_H
