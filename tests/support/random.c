// random.c -- where the seed comes from.

#include "support/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t
random_seed(void)
{
    const char *given = getenv("PIM_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        given != NULL ? strtoull(given, NULL, 0)
                      : (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec;
    printf("PIM_TEST_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}
