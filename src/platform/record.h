// record.h -- the gate's records of threads (gate.h), and how the end of a
// thread is noticed.
//
// No lock: a thread that comes for the first time is not kept waiting, nor does
// it leave a lock to a forked child.

#ifndef PIM_PLATFORM_RECORD_H
#define PIM_PLATFORM_RECORD_H

#include "platform/gate.h"

// Prepares for pim_record_watch(); `ends` is called when a thread ends that is
// watched, in that thread.  Once.
void pim_record_start(void (*ends)(void *record));

// A record for the calling thread, of nobody else's; NULL: no memory.
pim_thread *pim_record_take(void);

// The thread does without its record from now on.
void pim_record_give(pim_thread *record);

// Has the end of the calling thread noticed.  False: that cannot be; the record
// is taken back from a thread that is gone when others run out of them.
bool pim_record_watch(pim_thread *record);

#endif // PIM_PLATFORM_RECORD_H
