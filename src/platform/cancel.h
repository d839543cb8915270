// cancel.h -- memory is no cancellation point.
//
// pthread_cancel() acts where a thread next calls a function that waits, such
// as nanosleep() or write().  Allocating, freeing and fork() do not end a
// thread: it would leave locks and half-changed structures behind.
//
// CANCEL-1  No request for memory, fork() or end of an interpreter is a
//           cancellation point, nor is a function that the public headers
//           declare.
//
// Whoever calls what may wait, or a function of the program, says PIM_NO_CANCEL
// in front.  Bare system calls and mutexes are no such points.

#ifndef PIM_PLATFORM_CANCEL_H
#define PIM_PLATFORM_CANCEL_H

#include <pthread.h>

#include "base/compiler.h"

PIM_INLINE int
pim_cancel_forbid(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

PIM_INLINE void
pim_cancel_put_back(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

// A declaration: the thread is not cancelled until the block is left.
#define PIM_NO_CANCEL                                                          \
    __attribute__((unused, cleanup(pim_cancel_put_back)))                      \
    const int pim_cancel_state = pim_cancel_forbid()

#endif // PIM_PLATFORM_CANCEL_H
