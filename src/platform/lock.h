// lock.h -- a mutex that is ready without an initialiser call.
//
// LOCK-1  Every pim_lock but the gate's own is taken inside the gate (gate.h),
//         so at fork() all of them are free and the child need not repair any;
//         but see adrift.
// LOCK-2  Order: install, the chain of hooks, raw heap, process heap, records
//         of traces, registry, region, extents, budgets, a heap's limit, rings
//         of large blocks.  While the lock of
//         the thread-state search, the look at the raw table, the watch of
//         leaks, the shadow map, mimalloc's first arena, the samples of a
//         profile or its marked moment is held, no other is taken.  No lock is
//         held while the gate is entered at depth 0.

#ifndef PIM_PLATFORM_LOCK_H
#define PIM_PLATFORM_LOCK_H

#include <pthread.h>

#include "base/compiler.h"

// Aligned to its size, so that those of one section are an array.
typedef struct pim_lock {
    pthread_mutex_t mutex;
    bool spins; // before it sleeps
} PIM_CACHE_ALIGNED pim_lock;

_Static_assert(sizeof(pim_lock) == PIM_CACHE_LINE, "a lock has its own line");

// Of one that is held for a moment only, by many: who finds it taken spins a
// little before it sleeps.  glibc shows it to _GNU_SOURCE.
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#    define PIM_MUTEX_SPIN PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#else
#    define PIM_MUTEX_SPIN PTHREAD_MUTEX_INITIALIZER
#endif

// Defines a lock, or one that spins.  All of them lie in one section, so that
// pim_locks_renew() finds them.
#define PIM_LOCK(name)                                                         \
    pim_lock name __attribute__((section("pim_locks"))) = {                    \
        PTHREAD_MUTEX_INITIALIZER, false}
#define PIM_LOCK_SPIN(name)                                                    \
    pim_lock name __attribute__((section("pim_locks"))) = {PIM_MUTEX_SPIN, true}

// Makes a free lock of one that is part of a record.
PIM_INLINE void
pim_lock_init(pim_lock *lock)
{
    *lock = (pim_lock){PTHREAD_MUTEX_INITIALIZER, false};
}

// Makes all locks free, but for those in records, in a child that others have
// left some to.
void pim_locks_renew(void);

PIM_INLINE void
pim_lock_acquire(pim_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

// False: it is taken.
PIM_INLINE bool
pim_lock_try(pim_lock *lock)
{
    return pthread_mutex_trylock(&lock->mutex) == 0;
}

PIM_INLINE void
pim_lock_release(pim_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

#endif // PIM_PLATFORM_LOCK_H
