// random.h -- small, fast random numbers that a seed repeats.

#ifndef PIM_TESTS_RANDOM_H
#define PIM_TESTS_RANDOM_H

#include <stdint.h>

typedef struct random_state {
    uint64_t word;
} random_state;

static inline random_state
random_from(uint64_t seed)
{
    return (random_state){seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
}

// splitmix64
static inline uint64_t
random_next(random_state *r)
{
    uint64_t z = r->word += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

// 0 to n - 1.
static inline uint64_t
random_below(random_state *r, uint64_t n)
{
    return random_next(r) % n;
}

// PIM_TEST_SEED, or one of the clock; printed, so that a failure can be had
// again.
uint64_t random_seed(void);

#endif // PIM_TESTS_RANDOM_H
