// domains.c -- the three domains' functions, each call of which must leave errno
// alone, or say ENOMEM where it is refused.  hostile.c sees to it that errno
// does not stay by chance.

#include <errno.h>

#include "domain/domain.h"
#include "support/core.h"

#define BEFORE EDOTDOT // what no call sets

static void *
served(void *block)
{
    EXPECT_EQ(errno, block != NULL ? BEFORE : ENOMEM);
    return block;
}

#define CHECKED(domain)                                                        \
    static void *domain##_malloc(void *ctx, size_t size)                       \
    {                                                                          \
        errno = BEFORE;                                                        \
        return served(pim_##domain##_malloc(ctx, size));                       \
    }                                                                          \
    static void *domain##_calloc(void *ctx, size_t count, size_t size)         \
    {                                                                          \
        errno = BEFORE;                                                        \
        return served(pim_##domain##_calloc(ctx, count, size));                \
    }                                                                          \
    static void *domain##_realloc(void *ctx, void *block, size_t size)         \
    {                                                                          \
        errno = BEFORE;                                                        \
        return served(pim_##domain##_realloc(ctx, block, size));               \
    }                                                                          \
    static void domain##_free(void *ctx, void *block)                          \
    {                                                                          \
        errno = BEFORE;                                                        \
        pim_##domain##_free(ctx, block);                                       \
        EXPECT_EQ(errno, BEFORE);                                              \
    }

CHECKED(raw)
CHECKED(mem)
CHECKED(obj)

const core_domain core_domains[3] = {
    {"raw", raw_malloc, raw_calloc, raw_realloc, raw_free},
    {"mem", mem_malloc, mem_calloc, mem_realloc, mem_free},
    {"obj", obj_malloc, obj_calloc, obj_realloc, obj_free},
};
