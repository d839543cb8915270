// bits.h -- small arithmetic on powers of two.

#ifndef PIM_BASE_BITS_H
#define PIM_BASE_BITS_H

#include "base/compiler.h"

// Rounds n up to a multiple of `align`, a power of two.  Wraps like size_t
// does.
PIM_INLINE size_t
pim_align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

PIM_INLINE size_t
pim_align_down(size_t n, size_t align)
{
    return n & ~(align - 1);
}

// Index of the highest set bit; n is not 0.
PIM_INLINE unsigned
pim_log2_floor(size_t n)
{
    return (unsigned)(63 - __builtin_clzll((unsigned long long)n));
}

// Index of the lowest set bit; n is not 0.
PIM_INLINE unsigned
pim_lowest_bit(uint64_t n)
{
    return (unsigned)__builtin_ctzll(n);
}

PIM_INLINE unsigned
pim_popcount(uint64_t n)
{
    return (unsigned)__builtin_popcountll(n);
}

#endif // PIM_BASE_BITS_H
