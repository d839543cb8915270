// sample.h -- the samples of a profile, summed up by who asked for the memory.
//
// A sampled block bears the number of its sum and its size as its mark
// (heap/sampled.h), so that a free subtracts what the sample stood for.
//
// Invariant:
//   SAMPLE-1  a sum's live figures are those of its marked blocks that live, to
//             the rounding of doubles.

#ifndef PIM_HOOKS_SAMPLE_H
#define PIM_HOOKS_SAMPLE_H

#include "base/compiler.h"
#include "pimalloc/profile.h"

// Samples of one stack, interpreter, domain and thread.
typedef struct pim_sample_sum {
    uint32_t stack; // intern.h
    uint32_t thread;
    int64_t interp;
    uint32_t generation; // of the runtime
    uint32_t domain;
    double live_blocks;
    double live_bytes;
    double total_blocks;
    double total_bytes;
} pim_sample_sum;

// So many different sums; what comes after them is dropped and counted.
#define PIM_SAMPLE_SUMS 65536u

typedef struct pim_sample_state {
    size_t count;
    uint64_t period;
    uint64_t samples;
    uint64_t dropped;
    int64_t begun_ns;
} pim_sample_state;

// Copies the sums, up to PIM_SAMPLE_SUMS of them; out NULL: the rest only.
// False: there was no profile.
bool pim_sample_copy(pim_sample_sum *out, pim_sample_state *state);

// The seed of the next profiles, for who wants the same samples again; else it
// is taken from the clock.
void pim_sample_seed(uint64_t value);

#endif // PIM_HOOKS_SAMPLE_H
