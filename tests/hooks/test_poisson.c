// test_poisson.c -- the arithmetic of samples, against libm and against what it
// is for.

#include <math.h>
#include <string.h>

#include "hooks/poisson.h"
#include "support/core.h"
#include "support/random.h"

// So large that what is lost to whole bytes is below what is looked for.
#define FINE ((uint64_t)1 << 52)

static bool
is_near(double found, double wanted)
{
    return fabs(found - wanted) <= 1e-12 * fabs(wanted);
}

static double
uniform_of(uint64_t bits)
{
    return (double)((bits >> 11) + 1) / 9007199254740992.0;
}

static void
expect_gap(uint64_t bits)
{
    double wanted = -log(uniform_of(bits)) * (double)FINE;
    double found = (double)pim_poisson_gap(FINE, bits) - 1;
    EXPECT(is_near(found, wanted) || fabs(found - wanted) <= 1);
}

TEST(gaps_are_logarithms_as_libm_has_them)
{
    random_state random = random_from(1);
    for (unsigned i = 0; i < 200000; i++) {
        expect_gap(random_next(&random));
        expect_gap(random_next(&random) >> random_below(&random, 53));
        expect_gap(~(random_next(&random) >> random_below(&random, 53)));
    }
    expect_gap(0);
    expect_gap(UINT64_MAX);
    for (unsigned shift = 11; shift < 64; shift++) { // powers of two and beside
        expect_gap((UINT64_C(1) << shift) - 1);
        expect_gap(UINT64_C(1) << shift);
        expect_gap((UINT64_C(3) << (shift - 1)) - 1);
    }
}

TEST(a_gap_is_at_least_one_byte)
{
    EXPECT_EQ(pim_poisson_gap(1024, UINT64_MAX), 1);
    EXPECT_EQ(pim_poisson_gap((uint64_t)1 << 40, UINT64_MAX), 1);
    EXPECT_GE(pim_poisson_gap(1024, 0), 1024 * 36);
}

TEST(weights_are_exponentials_as_libm_has_them)
{
    random_state random = random_from(2);
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t mean = 1 + (random_next(&random) >> random_below(&random, 63));
        uint64_t bytes =
            1 + (random_next(&random) >> random_below(&random, 63));
        double x = (double)bytes / (double)mean;
        if (x < 1e-290) {
            continue;
        }
        EXPECT(is_near(pim_poisson_weight(mean, bytes), -1 / expm1(-x)));
    }
    for (uint64_t bytes = 1; bytes < 3000; bytes++) {
        double x = (double)bytes / 1000;
        EXPECT(is_near(pim_poisson_weight(1000, bytes), -1 / expm1(-x)));
    }
    EXPECT(pim_poisson_weight(1, UINT64_MAX) == 1);
}

TEST(gaps_have_their_mean_and_spread)
{
    enum { N = 1000000 };
    double sum = 0;
    double squares = 0;
    for (uint64_t n = 0; n < N; n++) {
        double gap = (double)pim_poisson_gap(65536, pim_random_at(7, n));
        sum += gap / N;
        squares += gap * gap / N;
    }
    EXPECT(fabs(sum / 65536 - 1) < 4e-3); // four standard deviations
    EXPECT(fabs(sqrt(squares - sum * sum) / 65536 - 1) < 1e-2);
}

// What weights are for: blocks that the gaps fall into, weighed, are as many as
// there were.
static void
expect_estimate(uint64_t mean, uint64_t bytes, uint64_t blocks)
{
    uint64_t left = pim_poisson_gap(mean, pim_random_at(bytes, 0));
    uint64_t n = 0;
    double estimate = 0;
    for (uint64_t i = 0; i < blocks; i++) {
        if (left > bytes) {
            left -= bytes;
            continue;
        }
        estimate += pim_poisson_weight(mean, bytes);
        left = pim_poisson_gap(mean, pim_random_at(bytes, ++n));
    }
    double p = -expm1(-(double)bytes / (double)mean);
    double sd = sqrt((1 - p) / p / (double)blocks);
    EXPECT(fabs(estimate / (double)blocks - 1) <= 3 * sd + 1e-9);
}

TEST(weighed_samples_are_as_many_as_the_blocks)
{
    expect_estimate(65536, 16, 20000000);
    expect_estimate(65536, 500, 2000000);
    expect_estimate(65536, 65536, 100000);
    expect_estimate(1024, 3000, 100000);
    expect_estimate(1024, 1 << 20, 1000);
}

TEST(random_numbers_do_not_repeat_and_seeds_differ)
{
    for (uint64_t n = 0; n < 1000; n++) {
        EXPECT_NE(pim_random_at(1, n), pim_random_at(1, n + 1));
        EXPECT_NE(pim_random_at(1, n), pim_random_at(2, n));
        EXPECT_EQ(pim_random_at(1, n), pim_random_at(1, n));
    }
}

SUITE(.set_up = NULL)
