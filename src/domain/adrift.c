// adrift.c -- see adrift.h.
//
//   | libc's block     | bytes | cookie | block ...
//   |<---- FRONT or FRONT + 16 -------->|
//
// The block never begins a system page, so that the word in front of any block
// may be read; the cookie says which of the two it is.

#include "domain/adrift.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena/region.h"
#include "base/keep_errno.h"
#include "domain/raw_small.h"
#include "heap/large.h"
#include "interp/current.h"
#include "platform/epoch.h"
#include "platform/os.h"
#include "platform/say.h"

typedef struct front {
    size_t bytes;
    uint64_t cookie;
} front;

#define FRONT sizeof(front)
#define COOKIE_NEAR UINT64_C(0x8ebc6af09c88c6e3)
#define COOKIE_FAR UINT64_C(0xc6a4a7935bd1e995)

_Static_assert(FRONT == PIM_ALIGNMENT, "keeps blocks aligned");

// NULL: it is no block of ours.
PIM_NO_SANITIZE static front *
front_of(void *block)
{
    uint64_t address = (uint64_t)(uintptr_t)block;
    if (address % PIM_ALIGNMENT != 0 || pim_os_begins_page(block)) {
        return NULL;
    }
    front *f = (front *)block - 1;
    return f->cookie == (COOKIE_NEAR ^ address) ||
                   f->cookie == (COOKIE_FAR ^ address)
               ? f
               : NULL;
}

void *
pim_adrift_malloc(size_t size, bool zero)
{
    if (size > PIM_REQUEST_MAX - 2 * FRONT) {
        return NULL;
    }
    PIM_KEEP_ERRNO;
    size += 2 * FRONT;
    char *base = zero ? calloc(1, size) : malloc(size);
    if (base == NULL) {
        return NULL;
    }
    bool is_far = pim_os_begins_page(base + FRONT);
    char *block = base + (is_far ? 2 * FRONT : FRONT);
    front *f = (front *)(void *)block - 1;
    f->bytes = size - 2 * FRONT;
    f->cookie =
        (is_far ? COOKIE_FAR : COOKIE_NEAR) ^ (uint64_t)(uintptr_t)block;
    return block;
}

bool
pim_adrift_free(void *block)
{
    if (pim_region_contains(block)) {
        return true;
    }
    front *f = front_of(block);
    if (f == NULL) {
        return pim_large_usable(block) != 0;
    }
    PIM_KEEP_ERRNO;
    bool is_far = f->cookie == (COOKIE_FAR ^ (uint64_t)(uintptr_t)block);
    f->cookie = 0;
    free((char *)block - (is_far ? 2 * FRONT : FRONT));
    return true;
}

void *
pim_adrift_realloc(void *block, size_t size, bool *is_ours)
{
    const front *f = front_of(block);
    size_t bytes = f != NULL ? f->bytes : pim_large_usable(block);
    *is_ours = f != NULL || bytes != 0;
    void *moved = *is_ours ? pim_adrift_malloc(size, false) : NULL;
    if (moved != NULL) {
        memcpy(moved, block, bytes < size ? bytes : size);
        pim_adrift_free(block);
    }
    return moved;
}

// --- the child -------------------------------------------------------------

static pim_heap *
nobodys(void)
{
    return &pim_process_heap;
}

static pim_heap *
none(void)
{
    return NULL;
}

static void
begin(bool adrift)
{
    static _Atomic bool said; // its children are told nothing new
    if (adrift) {
        if (!pim_exchange(&said, true)) {
            pim_say_at_once(
                "pimalloc: fork() copied the allocator in the middle "
                "of a request; process %d uses libc's malloc\n",
                (int)getpid());
        }
        pim_current_resolve = nobodys;
        pim_current_lookup = none;
        atomic_fetch_add(&pim_epoch, 1);
        pim_raw_mine = (pim_raw_self){.cache = NULL};
    }
}

void
pim_adrift_start(void)
{
    pim_store_release(&pim_gate_on_fork_child[PIM_CHILD_ADRIFT], begin);
}
