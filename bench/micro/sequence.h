// sequence.h -- the random choices of a pattern, made before it is timed.

#ifndef PIM_BENCH_MICRO_SEQUENCE_H
#define PIM_BENCH_MICRO_SEQUENCE_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace micro {

// Block sizes, both ends included; every size is as likely as any other.
struct size_range {
    uint32_t smallest;
    uint32_t largest;
};

// "Free what is in `slot`, then put a block of `size` bytes there."
struct step {
    uint32_t slot;
    uint32_t size;
};

// Steps are taken in runs of this many, so that only one test for the end of
// the measurement falls on so many steps.
constexpr size_t STEPS_PER_RUN = 1024;

// The same steps for the same arguments in every process.  A whole number of
// runs, long enough that a branch predictor cannot learn them.
std::vector<step> random_steps(uint32_t slots, size_range sizes, uint32_t seed);

} // namespace micro

#endif
