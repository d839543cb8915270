// poisson.c -- see poisson.h.

#include "hooks/poisson.h"

#include <string.h>

#define LN_2 0.69314718055994530942

// Terms of the series; what they leave out is below 1e-15.
#define LN_TERMS 12
#define EXP_TERMS 17

// ln(x) of 0 < x <= 1: the exponent, and a mantissa m of 0.75 to 1.5, of which
// ln(m) = 2 (z + z^3 / 3 + ...) with z = (m - 1) / (m + 1).
static double
ln(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
    double m;
    memcpy(&m, &bits, sizeof(m));
    if (m > 1.5) {
        m /= 2;
        exponent++;
    }
    double z = (m - 1) / (m + 1);
    double power = z;
    double sum = 0;
    for (int i = 0; i < LN_TERMS; i++) {
        sum += power / (2 * i + 1);
        power *= z * z;
    }
    return exponent * LN_2 + 2 * sum;
}

// 1 - exp(-x) of 0 <= x <= 1, which loses nothing where x is small.
static double
one_minus_exp(double x)
{
    double term = x;
    double sum = 0;
    for (int i = 2; i < EXP_TERMS + 2; i++) {
        sum += term;
        term *= -x / i;
    }
    return sum;
}

uint64_t
pim_poisson_gap(uint64_t mean, uint64_t random)
{
    double uniform = (double)((random >> 11) + 1) / 9007199254740992.0;
    return (uint64_t)(-ln(uniform) * (double)mean) + 1;
}

// 1 - exp(-2x) = q (2 - q) with q = 1 - exp(-x).
double
pim_poisson_weight(uint64_t mean, uint64_t bytes)
{
    double x = (double)bytes / (double)mean;
    unsigned doublings = 0;
    if (x > 64) {
        return 1;
    }
    for (; x > 1; x /= 2) {
        doublings++;
    }
    double q = one_minus_exp(x);
    for (; doublings > 0; doublings--) {
        q *= 2 - q;
    }
    return 1 / q;
}

uint64_t
pim_random_at(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
