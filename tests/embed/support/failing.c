// failing.c -- a header in front of each block tells its size and whose it is.
//
// Counted is what the limited interpreter allocates, whoever frees it.

#include "support/failing.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define SMALL 32816

typedef struct header {
    size_t size;
    size_t is_limited;
} header;

static PyMemAllocatorEx below[2]; // mem, obj
static PyInterpreterState *_Atomic limited;
static uint64_t soft_bytes;
static uint64_t hard_bytes;
static bool reserve_open; // under the GIL of the limited one
static atomic_uint_fast64_t live;

static bool
is_limited(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyThreadState *tstate = PyThreadState_GetUnchecked();
#else
    PyThreadState *tstate = _PyThreadState_UncheckedGet();
#endif
    PyInterpreterState *interp = atomic_load(&limited);
    return interp != NULL && tstate != NULL && tstate->interp == interp;
}

static bool
is_refused(size_t more, size_t size)
{
    uint64_t now = atomic_load(&live);
    if (now <= soft_bytes - soft_bytes / 16) {
        reserve_open = false;
    }
    bool small = reserve_open && size <= SMALL;
    bool refused = now + more > (small ? hard_bytes : soft_bytes);
    reserve_open |= refused;
    return refused;
}

static void *
begin(header *h, size_t size, bool counts)
{
    if (h == NULL) {
        return NULL;
    }
    *h = (header){size, counts};
    if (counts) {
        atomic_fetch_add(&live, size);
    }
    return h + 1;
}

static void *
failing_malloc(void *ctx, size_t size)
{
    const PyMemAllocatorEx *a = ctx;
    bool counts = is_limited();
    return counts && is_refused(size, size)
               ? NULL
               : begin(a->malloc(a->ctx, size + sizeof(header)), size, counts);
}

static void *
failing_calloc(void *ctx, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *block = failing_malloc(ctx, bytes);
    return block != NULL ? memset(block, 0, bytes) : NULL;
}

static void
failing_free(void *ctx, void *block)
{
    const PyMemAllocatorEx *a = ctx;
    if (block != NULL) {
        header *h = (header *)block - 1;
        if (h->is_limited) {
            atomic_fetch_sub(&live, h->size);
        }
        a->free(a->ctx, h);
    }
}

static void *
failing_realloc(void *ctx, void *block, size_t size)
{
    const PyMemAllocatorEx *a = ctx;
    if (block == NULL) {
        return failing_malloc(ctx, size);
    }
    header *h = (header *)block - 1;
    size_t old = h->size;
    bool counts = h->is_limited != 0;
    if (size > old && is_limited() && is_refused(size - old, size)) {
        return NULL;
    }
    h = a->realloc(a->ctx, h, size + sizeof(header));
    if (h == NULL) {
        return NULL;
    }
    if (counts) {
        atomic_fetch_sub(&live, old);
    }
    return begin(h, size, counts);
}

void
failing_install(void)
{
    for (int i = 0; i < 2; i++) {
        PyMemAllocatorDomain domain =
            i == 0 ? PYMEM_DOMAIN_MEM : PYMEM_DOMAIN_OBJ;
        PyMem_GetAllocator(domain, &below[i]);
        PyMemAllocatorEx in_front = {&below[i], failing_malloc, failing_calloc,
                                     failing_realloc, failing_free};
        PyMem_SetAllocator(domain, &in_front);
    }
}

void
failing_limit(PyInterpreterState *interp, uint64_t soft, uint64_t hard)
{
    // What it has already is not known here; a young one has about so much.
    const uint64_t young = (uint64_t)4 << 20;
    soft_bytes = soft - young;
    hard_bytes = hard - young;
    atomic_store(&limited, interp);
}
