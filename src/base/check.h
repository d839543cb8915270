// check.h -- the two strengths of checking.
//
//   PIM_CHECK   always on; a failure is misuse or corruption and ends the
//               process with a message (pim_fatal).
//   PIM_ASSERT  debug builds; always compiled, so it cannot rot.
//
// Whole structures have an audit function each (pim_page_audit,
// pim_heap_audit), which tests call.

#ifndef PIM_BASE_CHECK_H
#define PIM_BASE_CHECK_H

#include "base/compiler.h"

#ifdef NDEBUG
#    define PIM_DEBUG 0
#else
#    define PIM_DEBUG 1
#endif

// Writes "pimalloc: fatal: <what> (<address>)" to stderr and aborts.  Allocates
// nothing; may be called with any lock held.  address: NULL: none is meant.
_Noreturn void pim_fatal_text(const char *what, const void *address);

// The same, with what pim_fatal_describe() says of the address.
_Noreturn void pim_fatal(const char *what, const void *address);

// Puts what lies at an address into words; false: nothing is known.  Takes no
// lock.  Set by the layer that knows blocks.
extern bool (*pim_fatal_describe)(const void *address, char *text, size_t size);

#define PIM_STRING_OF(x) #x
#define PIM_STRING(x) PIM_STRING_OF(x)

#define PIM_CHECK(cond, what, address)                                         \
    do {                                                                       \
        if (PIM_UNLIKELY(!(cond))) {                                           \
            pim_fatal(what, address);                                          \
        }                                                                      \
    } while (0)

#define PIM_ASSERT(cond)                                                       \
    do {                                                                       \
        if (PIM_DEBUG && PIM_UNLIKELY(!(cond))) {                              \
            pim_fatal("assertion failed: " #cond " at " __FILE__               \
                      ":" PIM_STRING(__LINE__),                                \
                      NULL);                                                   \
        }                                                                      \
    } while (0)

#endif // PIM_BASE_CHECK_H
