// atomic.h -- short names for the C11 atomics that the project uses.
//
// A field written by one thread and read by others is an atomic even where the
// writer needs no ordering: `pim_own_*` is the writer's plain load, add, store.

#ifndef PIM_BASE_ATOMIC_H
#define PIM_BASE_ATOMIC_H

#include <stdatomic.h>

#include "base/compiler.h"

#define pim_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define pim_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define pim_store_relaxed(p, v)                                                \
    atomic_store_explicit((p), (v), memory_order_relaxed)
#define pim_store_release(p, v)                                                \
    atomic_store_explicit((p), (v), memory_order_release)
#define pim_exchange(p, v)                                                     \
    atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define pim_add_relaxed(p, v)                                                  \
    atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define pim_sub_relaxed(p, v)                                                  \
    atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define pim_or_release(p, v)                                                   \
    atomic_fetch_or_explicit((p), (v), memory_order_release)
#define pim_cas_weak(p, expected, desired)                                     \
    atomic_compare_exchange_weak_explicit((p), (expected), (desired),          \
                                          memory_order_acq_rel,                \
                                          memory_order_relaxed)

// Adds to a counter that only the calling thread writes at this time.  Not a
// read-modify-write of the machine, so it costs what plain code costs.
#define pim_own_add(p, v) pim_store_relaxed((p), pim_load_relaxed(p) + (v))
#define pim_own_sub(p, v) pim_store_relaxed((p), pim_load_relaxed(p) - (v))

// Subtracts from a counter that only the calling thread writes and tells
// whether it is below zero now.  Compilers keep apart the load, the subtraction
// and the store of a relaxed atomic; this is the hot path of every allocation,
// so on x86-64 it is one instruction.  ThreadSanitizer wants to see the store.
PIM_INLINE bool
pim_own_sub_below_zero(_Atomic int64_t *p, int64_t v)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    bool below;
    __asm__("subq %2, %0" : "+m"(*p), "=@ccs"(below) : "re"(v));
    return below;
#else
    int64_t left = pim_load_relaxed(p) - v;
    pim_store_release(p, left);
    return left < 0;
#endif
}

// pim_own_add() as one instruction, for the hot path of every free.
PIM_INLINE void
pim_own_add_fast(_Atomic int64_t *p, int64_t v)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __asm__("addq %1, %0" : "+m"(*p) : "re"(v) : "cc");
#else
    pim_own_add(p, v);
#endif
}

// The same for a counter that only grows, and whose readers see no older value
// of another one that is changed before it (ledger.c).
PIM_INLINE void
pim_own_count_fast(_Atomic uint64_t *p, uint64_t v)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __asm__("addq %1, %0" : "+m"(*p) : "re"(v) : "cc");
#else
    pim_store_release(p, pim_load_relaxed(p) + v);
#endif
}

// Whether v is below a limit that grows in another thread's hands.  Compilers
// keep the load of an atomic apart from the comparison; as above.
PIM_INLINE bool
pim_is_below_fast(uint64_t v, const _Atomic uint64_t *limit)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    bool below;
    __asm__("cmpq %1, %2" : "=@ccb"(below) : "m"(*limit), "r"(v));
    return below;
#else
    return v < pim_load_relaxed(limit);
#endif
}

// Whether another thread's word is v; as above.
PIM_INLINE bool
pim_is_equal_fast(uintptr_t v, const _Atomic uintptr_t *word)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    bool equal;
    __asm__("cmpq %2, %1" : "=@cce"(equal) : "m"(*word), "r"(v));
    return equal;
#else
    return v == pim_load_relaxed(word);
#endif
}

// Raises *p to at least v; any thread.
PIM_INLINE void
pim_raise_relaxed(_Atomic uint64_t *p, uint64_t v)
{
    uint64_t seen = pim_load_relaxed(p);
    while (seen < v &&
           !atomic_compare_exchange_weak_explicit(
               p, &seen, v, memory_order_relaxed, memory_order_relaxed)) {
    }
}

#endif // PIM_BASE_ATOMIC_H
