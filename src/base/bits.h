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

// The highest `bits` bits, 1 to 64, of a key times 2^64 over the golden ratio:
// neighbours come to lie far apart.
PIM_INLINE uint64_t
pim_hash(uint64_t key, unsigned bits)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - bits);
}

#endif // PIM_BASE_BITS_H
