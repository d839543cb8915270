// core.h -- sets the layers up as pimalloc_install() does, on the fakes; with
// expect.h, what every test of the core needs.

#ifndef PIM_TESTS_CORE_H
#define PIM_TESTS_CORE_H

#include "base/compiler.h"
#include "support/expect.h"

// Where a domain's figures are.
#define OBJ PIM_DOMAIN_INDEX(PIM_OBJ)
#define MEM PIM_DOMAIN_INDEX(PIM_MEM)
#define RAW PIM_DOMAIN_INDEX(PIM_RAW)

// Address space for arenas in tests: small, so that descriptors stay few.
#define CORE_REGION ((size_t)4 << 30)

// fake OS, fake mimalloc, region, process heap, raw heap, fake Python.  The clock
// stands, so that nothing depends on how fast the machine is.
void core_start(void);
void core_start_with_region(size_t bytes);

// As a suite's set-up; the second for threads that want the clock to go, the third
// in the checked mode.
int core_set_up(void **state);
int core_set_up_with_clock(void **state);
int core_set_up_checked(void **state);

// An id that no interpreter of this process had.
int64_t core_next_id(void);

// Bytes of the smallest class that serves a small request, found the slow way, or
// of the span that serves one above that.
size_t core_block_bytes(size_t size);

// One domain's functions; a call that changes errno, but for ENOMEM where it is
// refused, fails the test.
typedef struct core_domain {
    const char *name;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} core_domain;

// Indexed by enum pim_domain.
extern const core_domain core_domains[3];

#define IN_GATE(call)                                                          \
    do {                                                                       \
        pim_gate_enter();                                                      \
        call;                                                                  \
        pim_gate_exit();                                                       \
    } while (0)

// Blocks of one domain and size.
void core_fill(unsigned domain, void **blocks, size_t n, size_t size);
void core_free_all(unsigned domain, void **blocks, size_t n);

// Runs `body` in a forked child.  Returns the child's exit status, or minus the
// signal that ended it, and the beginning of its stderr.
int core_in_child(void (*body)(void *), void *arg, char *text, size_t size);

// Whether `body` ends in pim_fatal() with a message that contains `expected`.
void core_expect_fatal(void (*body)(void *), void *arg, const char *expected);

#endif // PIM_TESTS_CORE_H
