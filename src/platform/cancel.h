// cancel.h -- memory is no cancellation point.
//
// pthread_cancel() acts where a thread next calls a function that waits, such as
// nanosleep() or write().  Allocating, freeing and fork() do not end a thread: it
// would leave locks and half-changed structures behind.  So whatever may wait on
// their way is between these two, or a bare system call, which is no such place.

#ifndef PIM_PLATFORM_CANCEL_H
#define PIM_PLATFORM_CANCEL_H

#include <pthread.h>

#include "base/compiler.h"

// Returns what pim_cancel_allow() is given.  Nests.
PIM_INLINE int
pim_cancel_forbid(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

PIM_INLINE void
pim_cancel_allow(int before)
{
    pthread_setcancelstate(before, NULL);
}

#endif // PIM_PLATFORM_CANCEL_H
