// worker.h -- a thread of our own.

#ifndef PIM_PLATFORM_WORKER_H
#define PIM_PLATFORM_WORKER_H

#include <pthread.h>
#include <stddef.h>

// Starts one that blocks all signals, so that the program's handlers never run
// in it.  0 or -errno.
int pim_worker_start(pthread_t *out, const char *name, size_t stack_bytes,
                     void *(*run)(void *));

#endif // PIM_PLATFORM_WORKER_H
