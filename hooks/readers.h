// readers.h -- the threads that are in the chain, and the wait for them.
//
// A reader makes a number in its record of the gate odd while it is in.  Threads
// without a record are counted together.  Whoever has shown another chain waits
// until each number that is odd has changed: Dekker's pattern, with both fences
// on the waiter's side, as in platform/gate.c.

#ifndef PIM_HOOKS_READERS_H
#define PIM_HOOKS_READERS_H

#include "platform/gate.h"

typedef struct pim_reader {
    pim_thread *record; // NULL: it had none
    bool nested;        // it was in already
} pim_reader;

void pim_reader_enter_crowd(void);
void pim_reader_leave_crowd(void);

PIM_INLINE void
pim_reader_enter(pim_reader *reader)
{
    pim_self *self = &pim_gate_self;
    reader->nested = self->in_chain;
    reader->record = self->thread;
    if (reader->nested) {
        return;
    }
    self->in_chain = true;
    if (PIM_UNLIKELY(reader->record == NULL)) {
        pim_reader_enter_crowd();
        return;
    }
    pim_own_add(&reader->record->chained, 1);
    if (PIM_UNLIKELY(pim_load_relaxed(&pim_gate.fence_on_enter))) {
        atomic_thread_fence(memory_order_seq_cst);
    } else {
        atomic_signal_fence(memory_order_seq_cst);
    }
}

PIM_INLINE void
pim_reader_leave(const pim_reader *reader)
{
    if (reader->nested) {
        return;
    }
    if (PIM_LIKELY(reader->record != NULL)) {
        pim_store_release(&reader->record->chained,
                          pim_load_relaxed(&reader->record->chained) + 1);
    } else {
        pim_reader_leave_crowd();
    }
    pim_gate_self.in_chain = false;
}

// Waits until every other thread that is in now has left once.  Outside the
// gate, no lock.  False: one stays in for longer than PIM_INSIDE_PATIENCE_MS.
bool pim_readers_wait(void);

// In a forked child: nobody else is in.
void pim_readers_in_child(void);

#endif // PIM_HOOKS_READERS_H
