// poisson.h -- the arithmetic of samples, without libm.
//
// Samples fall on bytes as a Poisson process with one in `mean` bytes.  So the
// distance to the next is exponential, and a block of s bytes is sampled with
// p = 1 - exp(-s / mean); a sample of it stands for 1 / p blocks, exactly.

#ifndef PIM_HOOKS_POISSON_H
#define PIM_HOOKS_POISSON_H

#include "base/compiler.h"

// Bytes to the next sample, at least one, from 64 random bits.
uint64_t pim_poisson_gap(uint64_t mean, uint64_t random);

// How many blocks of so many bytes a sampled one stands for.
double pim_poisson_weight(uint64_t mean, uint64_t bytes);

// The next of a sequence of random numbers, from its number and a seed.
uint64_t pim_random_at(uint64_t seed, uint64_t n);

#endif // PIM_HOOKS_POISSON_H
