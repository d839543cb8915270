// calls.h -- the checked functions of the three domains, and messages expected.

#ifndef PIM_TESTS_MISUSE_CALLS_H
#define PIM_TESTS_MISUSE_CALLS_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "domain/check.h"
#include "domain/domain.h"
#include "support/core.h"
#include "support/fake_interp.h"

static const char *const prefixes[PIM_DOMAINS] = {"PyMem_Raw", "PyMem_",
                                                  "PyObject_"};

static inline void *
checked_malloc(unsigned domain, size_t size)
{
    return pim_check_malloc(pim_check_context(domain), size);
}

static inline void *
checked_calloc(unsigned domain, size_t count, size_t size)
{
    return pim_check_calloc(pim_check_context(domain), count, size);
}

static inline void *
checked_realloc(unsigned domain, void *block, size_t size)
{
    return pim_check_realloc(pim_check_context(domain), block, size);
}

static inline void
checked_free(unsigned domain, void *block)
{
    pim_check_free(pim_check_context(domain), block);
}

static inline const char *
owner_of(int64_t id, char *text, size_t size)
{
    snprintf(text, size, "interpreter %" PRId64, id);
    return text;
}

#endif // PIM_TESTS_MISUSE_CALLS_H
