// fake_mi.c -- a pim_mi_ops in front of the real one.
//
// libmimalloc is not instrumented, so ThreadSanitizer does not see that memory
// freed in one thread was freed before another thread gets it.  That order is
// told it here, for each slice of memory that a block touches.

#include "support/fake_mi.h"

#include <stdlib.h>

#include "support/expect.h"
#include "support/hostile.h"
#include "support/tsan.h"

fake_mi_state fake_mi;

static pim_mi_ops real;

#if PIM_TSAN
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

// What libmimalloc does with memory of its own is not ours to judge.
const char *
__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}
#endif

#define SLICE_SHIFT 16
#define SLICES 4096

static char slices[SLICES];

static void
tell_order(void (*tell)(void *), const void *block)
{
    uintptr_t first = (uintptr_t)block >> SLICE_SHIFT;
    uintptr_t last =
        ((uintptr_t)block + real.usable_size(block)) >> SLICE_SHIFT;
    for (uintptr_t i = first; PIM_TSAN && i <= last; i++) {
        tell(&slices[i % SLICES]);
    }
}

static void
tell_acquired(void *address)
{
    __tsan_acquire(address);
}

static void
tell_released(void *address)
{
    __tsan_release(address);
}

static bool
must_fail(void)
{
    errno = HOSTILE_ERRNO;
    uint64_t nth = pim_add_relaxed(&fake_mi.counted, 1) + 1;
    uint64_t at = pim_load_relaxed(&fake_mi.fail_at);
    bool fails = at != 0 && (nth == at || (nth > at && fake_mi.fail_rest));
    if (fails) {
        pim_add_relaxed(&fake_mi.failed, 1);
    }
    return fails;
}

static void *
made(void *block)
{
    if (block != NULL) {
        pim_add_relaxed(&fake_mi.blocks_made, 1);
        tell_order(tell_acquired, block);
    }
    return block;
}

static void *
fake_umalloc(size_t size, size_t *block_size)
{
    return must_fail() ? NULL : made(real.umalloc(size, block_size));
}

static void *
fake_ucalloc(size_t count, size_t size, size_t *block_size)
{
    return must_fail() ? NULL : made(real.ucalloc(count, size, block_size));
}

static void
fake_ufree(void *block, size_t *block_size)
{
    pim_add_relaxed(&fake_mi.blocks_freed, 1);
    tell_order(tell_released, block);
    real.ufree(block, block_size);
    errno = HOSTILE_ERRNO;
}

static void *
fake_urealloc(void *block, size_t size, size_t *before, size_t *after)
{
    if (must_fail()) {
        return NULL;
    }
    if (block != NULL) {
        tell_order(tell_released, block);
    }
    void *moved = real.urealloc(block, size, before, after);
    if (moved != NULL) {
        tell_order(tell_acquired, moved);
    }
    return moved;
}

static void
fake_purge(void)
{
    pim_add_relaxed(&fake_mi.purges, 1);
    real.purge();
}

void
fake_mi_start(void)
{
    char why[512] = "";
    // CTest names another one than that of the build tree.
    if (pim_mi_load(getenv("PIMALLOC_MIMALLOC"), why, sizeof(why)) != 0) {
        expect_failed(__FILE__, __LINE__, why);
    }
    if (pim_mi.umalloc == fake_umalloc) {
        return;
    }
    real = pim_mi;
    pim_mi.umalloc = fake_umalloc;
    pim_mi.ucalloc = fake_ucalloc;
    pim_mi.urealloc = fake_urealloc;
    pim_mi.ufree = fake_ufree;
    pim_mi.purge = fake_purge;
}

void
fake_mi_fail(uint64_t nth, bool and_rest)
{
    pim_store_relaxed(&fake_mi.counted, 0);
    pim_store_relaxed(&fake_mi.failed, 0);
    pim_store_relaxed(&fake_mi.fail_rest, and_rest);
    pim_store_relaxed(&fake_mi.fail_at, nth);
}

void
fake_mi_heal(void)
{
    pim_store_relaxed(&fake_mi.fail_at, 0);
}

uint64_t
fake_mi_live_blocks(void)
{
    return pim_load_relaxed(&fake_mi.blocks_made) -
           pim_load_relaxed(&fake_mi.blocks_freed);
}
