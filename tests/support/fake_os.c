// fake_os.c -- a pim_os_ops in front of the real one.

#include "support/fake_os.h"

#include <errno.h>

#include "base/bits.h"
#include "support/tsan.h"

fake_os fake;

static const pim_os_ops *
real(void)
{
    return &pim_os_linux;
}

// Counts a call; true if it must fail.
static bool
must_fail(enum fake_os_call kind)
{
    pim_add_relaxed(&fake.calls[pim_lowest_bit(kind)], 1);
    if ((pim_load_relaxed(&fake.fail_kinds) & kind) == 0) {
        return false;
    }
    uint64_t nth = pim_add_relaxed(&fake.counted, 1) + 1;
    uint64_t at = pim_load_relaxed(&fake.fail_at);
    bool fails = at != 0 && (nth == at || (nth > at && fake.fail_rest));
    if (fails) {
        pim_add_relaxed(&fake.failed, 1);
    }
    return fails;
}

// What reserve() gave and unmap() did not take: the region and its tables.
static _Atomic(void *) reservations[16];

static void
remember_reservation(void *start)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(reservations); i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&reservations[i], &none, start)) {
            return;
        }
    }
}

static bool
forget_reservation(void *start)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(reservations); i++) {
        void *there = start;
        if (atomic_compare_exchange_strong(&reservations[i], &there, NULL)) {
            return true;
        }
    }
    return false;
}

static void *
fake_reserve(size_t bytes, size_t align)
{
    void *p = must_fail(FAKE_RESERVE) ? NULL : real()->reserve(bytes, align);
    if (p != NULL) {
        pim_add_relaxed(&fake.reserved_bytes, bytes);
        remember_reservation(p);
    }
    return p;
}

static int
fake_commit(void *start, size_t bytes)
{
    int err = must_fail(FAKE_COMMIT) ? -ENOMEM : real()->commit(start, bytes);
    if (err == 0) {
        pim_add_relaxed(&fake.committed_bytes, bytes);
    }
    return err;
}

static int
fake_decommit(void *start, size_t bytes)
{
    int err =
        must_fail(FAKE_DECOMMIT) ? -ENOMEM : real()->decommit(start, bytes);
    if (err == 0) {
        pim_sub_relaxed(&fake.committed_bytes, bytes);
    }
    return err;
}

static int
fake_reset(void *start, size_t bytes)
{
    if (must_fail(FAKE_RESET)) {
        return -EINVAL;
    }
    pim_add_relaxed(&fake.reset_bytes, bytes);
    return real()->reset(start, bytes);
}

static void *
fake_map(size_t bytes)
{
    void *p = must_fail(FAKE_MAP) ? NULL : real()->map(bytes);
    if (p != NULL) {
        pim_add_relaxed(&fake.mapped_bytes, bytes);
    }
    return p;
}

// ThreadSanitizer does not see that the place which a map leaves was left before
// another map gets it.
static char left_by_remap;

static void *
fake_remap(void *start, size_t old_bytes, size_t new_bytes)
{
    __tsan_release(&left_by_remap);
    void *p = must_fail(FAKE_REMAP)
                  ? NULL
                  : real()->remap(start, old_bytes, new_bytes);
    __tsan_acquire(&left_by_remap);
    if (p != NULL) {
        pim_add_relaxed(&fake.mapped_bytes, new_bytes - old_bytes);
    }
    return p;
}

static void
fake_unmap(void *start, size_t bytes)
{
    pim_sub_relaxed(forget_reservation(start) ? &fake.reserved_bytes
                                              : &fake.mapped_bytes,
                    bytes);
    pim_store_relaxed(&fake.unmapped_last, (uint64_t)(uintptr_t)start);
    real()->unmap(start, bytes);
}

static void
fake_advise_huge(void *start, size_t bytes)
{
    pim_add_relaxed(&fake.huge, 1);
    real()->advise_huge(start, bytes);
}

static void
fake_advise_small(void *start, size_t bytes)
{
    pim_add_relaxed(&fake.small, 1);
    real()->advise_small(start, bytes);
}

static void
fake_name(void *start, size_t bytes, const char *name)
{
    pim_add_relaxed(&fake.names, 1);
    real()->name(start, bytes, name);
}

static uint64_t
fake_now_ms(void)
{
    return pim_load_relaxed(&fake.clock_stands) ? pim_load_relaxed(&fake.now)
                                                : real()->now_ms();
}

static const pim_os_ops fake_ops = {
    .reserve = fake_reserve,
    .commit = fake_commit,
    .decommit = fake_decommit,
    .reset = fake_reset,
    .map = fake_map,
    .remap = fake_remap,
    .unmap = fake_unmap,
    .advise_huge = fake_advise_huge,
    .advise_small = fake_advise_small,
    .name = fake_name,
    .now_ms = fake_now_ms,
};

void
fake_os_start(void)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(fake.calls); i++) {
        pim_store_relaxed(&fake.calls[i], 0);
    }
    fake_os_heal();
    pim_os = &fake_ops;
}

void
fake_os_fail(unsigned kinds, uint64_t nth, bool and_rest)
{
    pim_store_relaxed(&fake.counted, 0);
    pim_store_relaxed(&fake.failed, 0);
    pim_store_relaxed(&fake.fail_rest, and_rest);
    pim_store_relaxed(&fake.fail_at, nth);
    pim_store_relaxed(&fake.fail_kinds, kinds);
}

void
fake_os_heal(void)
{
    pim_store_relaxed(&fake.fail_kinds, 0);
    pim_store_relaxed(&fake.fail_at, 0);
}

void
fake_os_stop_clock(void)
{
    pim_store_relaxed(&fake.now, 1000000);
    pim_store_relaxed(&fake.clock_stands, true);
}

void
fake_os_advance(uint64_t ms)
{
    pim_add_relaxed(&fake.now, ms);
}

uint64_t
fake_os_calls(enum fake_os_call kind)
{
    return pim_load_relaxed(&fake.calls[pim_lowest_bit(kind)]);
}
