// lock.c -- all locks at once.

#define _GNU_SOURCE

#include "platform/lock.h"

// By the linker: where the section begins and ends.
extern pim_lock __start_pim_locks[] __attribute__((visibility("hidden")));
extern pim_lock __stop_pim_locks[] __attribute__((visibility("hidden")));

void
pim_locks_renew(void)
{
    static const pthread_mutex_t sleeps = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_mutex_t spins = PIM_MUTEX_SPIN;
    for (pim_lock *lock = __start_pim_locks; lock < __stop_pim_locks; lock++) {
        lock->mutex = lock->spins ? spins : sleeps;
    }
}
