// closing.h -- a closed gate, from both its sides; for the sources of the gate.

#ifndef PIM_PLATFORM_CLOSING_H
#define PIM_PLATFORM_CLOSING_H

#include "platform/gate.h"
#include "platform/lock.h"

// The record that threads without one share, and who may use it.
extern pim_thread pim_crowd;
extern pthread_mutex_t pim_crowd_lock;

// Held by who has closed the gate.
extern pim_lock pim_gate_lock;

// Which closing it is, and the thread that closed it for a fork.
extern _Atomic uint64_t pim_closing;
extern _Atomic int pim_closer;

// PIM_INSIDE_PATIENCE_MS, but in tests.
extern unsigned pim_inside_patience_ms;

// Set by pim_gate_start().
extern _Atomic bool pim_gate_started;

// Gets the calling thread a record, if one is to be had, without entering.
void pim_gate_take_record(void);

// Whether the gate is closed, and not by the calling thread.
PIM_INLINE bool
pim_gate_is_closed_to_us(void)
{
    return pim_load_acquire(&pim_gate.closed) != PIM_GATE_OPEN &&
           !pim_gate_self.closed;
}

// Waits until each other thread that is inside has left once.  False: one
// stays.  `what` waits, in the message that is then given once.
bool pim_gate_wait_for_others(const char *what);
void pim_gate_say_whom(const char *what, int thread_id);

// Waits, outside, until the gate is open or `self`, who comes to it, may pass
// all the same.  Returns at which closing; 0: the gate is open.
uint64_t pim_gate_queue(const pim_thread *self);

// The rest of pim_gate_close() and pim_gate_open(), under the lock; `why` is an
// enum pim_gate_closed.
void pim_gate_shut(uint32_t why);
void pim_gate_let_all_in(void);

#endif // PIM_PLATFORM_CLOSING_H
