// sequence.cpp -- see sequence.h.

#include "sequence.h"

#include <algorithm>

namespace micro {

namespace {

constexpr size_t SHORTEST = 64 * STEPS_PER_RUN;

// Marsaglia's xorshift with 64 bits of state; good enough to scatter blocks.
class xorshift {
  public:
    explicit xorshift(uint64_t seed)
        : bits((seed + 1) * UINT64_C(0x9e3779b97f4a7c15))
    {
    }

    // A number from 0 to below - 1.
    uint32_t
    next(uint32_t below)
    {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        return static_cast<uint32_t>(((bits >> 32) * below) >> 32);
    }

  private:
    uint64_t bits;
};

} // namespace

std::vector<step>
random_steps(uint32_t slots, size_range sizes, uint32_t seed)
{
    size_t count = std::max(SHORTEST, size_t{2} * slots);
    count = (count + STEPS_PER_RUN - 1) / STEPS_PER_RUN * STEPS_PER_RUN;
    std::vector<step> steps(count);
    xorshift random(seed);
    for (step &one : steps) {
        one.slot = random.next(slots);
        one.size =
            sizes.smallest + random.next(sizes.largest - sizes.smallest + 1);
    }
    return steps;
}

} // namespace micro
