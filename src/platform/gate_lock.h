// gate_lock.h -- taking a lock as LOCK-1 wants it: inside the gate.

#ifndef PIM_PLATFORM_GATE_LOCK_H
#define PIM_PLATFORM_GATE_LOCK_H

#include "platform/gate.h"
#include "platform/lock.h"

PIM_INLINE void
pim_lock_enter(pim_lock *lock)
{
    pim_gate_enter();
    pim_lock_acquire(lock);
}

PIM_INLINE void
pim_lock_leave(pim_lock *lock)
{
    pim_lock_release(lock);
    pim_gate_exit();
}

#endif // PIM_PLATFORM_GATE_LOCK_H
