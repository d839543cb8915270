// compiler.h -- what the project asks of the compiler, in one place.

#ifndef PIM_BASE_COMPILER_H
#define PIM_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIM_LIKELY(x) __builtin_expect(!!(x), 1)
#define PIM_UNLIKELY(x) __builtin_expect(!!(x), 0)

// What holds by an invariant that the compiler cannot see.
#define PIM_ASSUME(x)                                                          \
    do {                                                                       \
        if (!(x)) {                                                            \
            __builtin_unreachable();                                           \
        }                                                                      \
    } while (0)

// A slow path: kept out of line and away from the hot code.
#define PIM_COLD __attribute__((noinline, cold))

// Out of line but not rare.
#define PIM_NOINLINE __attribute__((noinline))

// A fast path that must become part of its caller.
#define PIM_INLINE static inline __attribute__((always_inline))

// Makes the compiler forget what it knows of a number or pointer.  A branch
// that computes an address from it then costs the path without it no register.
#define PIM_FORGET(x) __asm__("" : "+r"(x))

#define PIM_CACHE_LINE 64
#define PIM_CACHE_ALIGNED __attribute__((aligned(PIM_CACHE_LINE)))

// Thread-local data reached with one instruction.  The library's share of the
// static TLS surplus must therefore stay small (see pim_self in gate_state.h).
#define PIM_TLS __thread __attribute__((tls_model("initial-exec")))

// A read of memory that is not known to be ours (a header in front of a pointer
// that may be foreign) must not be instrumented.
#define PIM_NO_SANITIZE __attribute__((no_sanitize("address", "thread")))

// The word that lies `offset` bytes from the calling thread's thread pointer.
// Read anew each time: the caller's thread-local data may change under a call.
PIM_INLINE void *
pim_thread_word(ptrdiff_t offset)
{
#if defined(__x86_64__) && !defined(__ILP32__)
    void *word;
    __asm__ volatile("movq %%fs:(%1), %0" : "=r"(word) : "r"(offset));
    return word;
#else
    return *(void *volatile *)((char *)__builtin_thread_pointer() + offset);
#endif
}

// The calling thread's thread pointer, the origin of those offsets.
PIM_INLINE char *
pim_thread_pointer(void)
{
#if defined(__x86_64__) && !defined(__ILP32__)
    return pim_thread_word(0); // the ABI keeps it there
#else
    return __builtin_thread_pointer();
#endif
}

// What __tls_get_addr() adds to an offset in a module's thread-local block.
#if defined(__riscv)
#    define PIM_TLS_BIAS 0x800
#elif defined(__powerpc__) || defined(__mips__)
#    define PIM_TLS_BIAS 0x8000
#else
#    define PIM_TLS_BIAS 0
#endif

#define PIM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif // PIM_BASE_COMPILER_H
