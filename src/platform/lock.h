// lock.h -- a mutex that is ready without an initialiser call.
//
// LOCK-1  Every pim_lock is taken inside the gate (gate.h), so at fork() all of
//         them are free and the child need not repair any.
// LOCK-2  Order: install, raw heap, process heap, registry, region, maps, budgets,
//         a heap's limit; rings of large blocks, the thread-state search, the
//         table of known blocks and mimalloc's first arena stand alone.  No lock
//         is held while the gate is entered at depth 0.

#ifndef PIM_PLATFORM_LOCK_H
#define PIM_PLATFORM_LOCK_H

#include <pthread.h>

#include "base/compiler.h"

typedef struct pim_lock {
    pthread_mutex_t mutex;
} pim_lock;

#define PIM_LOCK_INIT                                                          \
    {                                                                          \
        PTHREAD_MUTEX_INITIALIZER                                              \
    }

// The same for a lock that is held for a moment only, by many: who finds it taken
// spins a little before it sleeps.  glibc shows it to _GNU_SOURCE.
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#    define PIM_LOCK_INIT_SPIN                                                 \
        {                                                                      \
            PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP                              \
        }
#else
#    define PIM_LOCK_INIT_SPIN PIM_LOCK_INIT
#endif

PIM_INLINE void
pim_lock_acquire(pim_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

PIM_INLINE void
pim_lock_release(pim_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

#endif // PIM_PLATFORM_LOCK_H
