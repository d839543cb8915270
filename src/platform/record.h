// record.h -- who has which of the gate's records (gate_state.h), and how the
// end of a thread is noticed.
//
// No lock: a thread that comes for the first time is not kept waiting, nor does
// it leave a lock to a forked child.

#ifndef PIM_PLATFORM_RECORD_H
#define PIM_PLATFORM_RECORD_H

#include <pthread.h>

#include "platform/gate_state.h"

// The record that threads without one share, and who may use it.
extern pim_thread pim_crowd;
extern pthread_mutex_t pim_crowd_lock;

// From now on `ends` is called when a thread ends that takes a record, in that
// thread.  Once.
void pim_record_start(void (*ends)(void *record));

// Gets the calling thread a record, if it has none and one is to be had.
void pim_record_take(void);

// The thread does without its record from now on.
void pim_record_give(pim_thread *record);

#endif // PIM_PLATFORM_RECORD_H
