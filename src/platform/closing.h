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

<<<<<<< HEAD
// Gets the calling thread a record, if one is to be had, without entering.
void pim_gate_take_record(void);

// Whether the gate is closed, and not by the calling thread.
PIM_INLINE bool
pim_gate_is_closed_to_us(void)
{
    return pim_load_acquire(&pim_gate.closed) != PIM_GATE_OPEN &&
           !pim_gate_self.closed;
}

=======
>>>>>>> circles
// Waits until each other thread that is inside has left once.  False: one
// stays.  `what` waits, in the message that is then given once.
bool pim_gate_wait_for_others(const char *what);
void pim_gate_say_whom(const char *what, int thread_id);

<<<<<<< HEAD
// Waits, outside, until the gate is open or `self`, who comes to it, may pass
// all the same.  Returns at which closing; 0: the gate is open.
uint64_t pim_gate_queue(const pim_thread *self);

// The rest of pim_gate_close() and pim_gate_open(), under the lock; `why` is an
// enum pim_gate_closed.
=======
// Closes and opens the gate, under the lock; `why` is an enum pim_gate_closed.
>>>>>>> circles
void pim_gate_shut(uint32_t why);
void pim_gate_let_all_in(void);

#endif // PIM_PLATFORM_CLOSING_H
