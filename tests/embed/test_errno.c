// test_errno.c -- errno after requests of a Python whose system refuses to give
// memory back (mlockall) or has no map left (vm.max_map_count).
//
// CPython relies on it: os.getgroups(), for one, calls PyMem_Free() between
// getgroups(2) and its look at errno.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "support/embed.h"

#define BEFORE 77
#define BYTES ((size_t)24 << 20) // of each size at a time
#define BLOCKS 100000
#define MAPS_MAX 300000

static void *blocks[BLOCKS];

typedef struct domain {
    const char *name;
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
} domain;

static const domain domains[] = {
    {"raw", PyMem_RawMalloc, PyMem_RawCalloc, PyMem_RawRealloc, PyMem_RawFree},
    {"mem", PyMem_Malloc, PyMem_Calloc, PyMem_Realloc, PyMem_Free},
    {"obj", PyObject_Malloc, PyObject_Calloc, PyObject_Realloc, PyObject_Free},
};

static void
expect_kept(const domain *d, const char *what, size_t size)
{
    if (errno != BEFORE) {
        FAIL("%s of %zu bytes in %s left errno %d (%s)", what, size, d->name,
             errno, strerror(errno));
    }
    errno = BEFORE;
}

// What is refused says ENOMEM.
static void *
served(const domain *d, const char *what, size_t size, void *block)
{
    if (block == NULL && errno == ENOMEM) {
        errno = BEFORE;
    }
    expect_kept(d, what, size);
    return block;
}

static void
fill_and_empty(const domain *d, size_t size)
{
    size_t n = BYTES / size < BLOCKS ? BYTES / size : BLOCKS;
    errno = BEFORE;
    for (size_t i = 0; i < n; i++) {
        blocks[i] = i % 2 == 0 ? served(d, "malloc", size, d->malloc(size))
                               : served(d, "calloc", size, d->calloc(1, size));
    }
    for (size_t i = 0; i < n; i += 3) {
        size_t other = i % 2 == 0 ? size + size / 2 : size / 3;
        void *moved = served(d, "realloc", size, d->realloc(blocks[i], other));
        blocks[i] = moved != NULL ? moved : blocks[i];
    }
    for (size_t i = 0; i < n; i++) {
        d->free(blocks[i]);
        expect_kept(d, "free", size);
    }
}

static void
use_all(void)
{
    static const size_t sizes[] = {64,     512,    4000,   20000,
                                   100000, 700000, 3 << 20};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            for (unsigned d = 0; d < 3; d++) {
                fill_and_empty(&domains[d], sizes[i]);
            }
        }
    }
}

CASE(errno_is_kept_where_memory_is_locked)
{
    embed_start();
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        embed_skip("memory cannot be locked here");
    }
    use_all();
    munlockall();
    embed_stop();
}

CASE(errno_is_kept_where_no_map_is_left)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n = 0;
#ifdef __SANITIZE_ADDRESS__
    embed_skip("the sanitizer needs maps itself");
#endif
    embed_start();
    // Neighbours of different protection are maps of their own.
    while (mmap(NULL, page, n % 2 != 0 ? PROT_READ : PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
        if (++n == MAPS_MAX) {
            embed_skip("vm.max_map_count is too high to be used up");
        }
    }
    use_all();
    _Exit(0); // Python cannot end without a map
}
