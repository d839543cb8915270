// fake_os.c -- a pim_os_ops in front of the real one.

#include "support/fake_os.h"

#include <errno.h>
#include <stdlib.h>

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

// The maps that map_at() and map_aligned() gave and unmap() did not take, by a hash
// of where they begin.
#define PLACES 16384
static _Atomic(void *) places[PLACES];

static size_t
hash_of(const void *start)
{
    return (size_t)(((uint64_t)(uintptr_t)start >> 12) *
                        UINT64_C(0x9e3779b97f4a7c15) >>
                    50);
}

// Puts `now` where `before` is, near the place of `start`.
static bool
replace_place(const void *start, void *before, void *now)
{
    for (size_t i = 0; i < PLACES; i++) {
        void *there = before;
        if (atomic_compare_exchange_strong(
                &places[(hash_of(start) + i) % PLACES], &there, now)) {
            return true;
        }
        if (i == 64) {
            return false; // it is none of ours: they lie dense
        }
    }
    return false;
}

static void
placed(void *start, size_t bytes)
{
    pim_add_relaxed(&fake.placed_bytes, bytes);
    if (!replace_place(start, NULL, start)) {
        abort();
    }
}

static bool
is_taken(const void *start, size_t bytes)
{
    uintptr_t from = (uintptr_t)start;
    return from < pim_load_relaxed(&fake.taken_to) &&
           from + bytes > pim_load_relaxed(&fake.taken_from);
}

static int
fake_map_at(void *start, size_t bytes)
{
    if (must_fail(FAKE_PLACE)) {
        return -ENOMEM;
    }
    int err = is_taken(start, bytes) ? -EEXIST : real()->map_at(start, bytes);
    if (err == 0) {
        placed(start, bytes);
    }
    return err;
}

static void *
fake_map_aligned(size_t bytes, size_t align)
{
    void *p = must_fail(FAKE_PLACE) ? NULL : real()->map_aligned(bytes, align);
    if (p != NULL) {
        placed(p, bytes);
    }
    return p;
}

static int
fake_commit(void *start, size_t bytes)
{
    int err = must_fail(FAKE_COMMIT) ? -ENOMEM : real()->commit(start, bytes);
    if (err == 0) {
        pim_sub_relaxed(&fake.decommitted_bytes, bytes);
    }
    return err;
}

static int
fake_decommit(void *start, size_t bytes)
{
    int err =
        must_fail(FAKE_DECOMMIT) ? -ENOMEM : real()->decommit(start, bytes);
    if (err == 0) {
        pim_add_relaxed(&fake.decommitted_bytes, bytes);
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

static bool
fake_has_room(size_t bytes)
{
    return bytes <= pim_load_relaxed(&fake.room);
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

static int
fake_unmap(void *start, size_t bytes)
{
    if (must_fail(FAKE_UNMAP)) {
        real()->reset(start, bytes);
        return -ENOMEM;
    }
    pim_sub_relaxed(replace_place(start, start, NULL) ? &fake.placed_bytes
                                                      : &fake.mapped_bytes,
                    bytes);
    pim_store_relaxed(&fake.unmapped_last, (uint64_t)(uintptr_t)start);
    return real()->unmap(start, bytes);
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
fake_populate(void *start, size_t bytes)
{
    pim_add_relaxed(&fake.populated_bytes, bytes);
    real()->populate(start, bytes);
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
    .commit = fake_commit,
    .decommit = fake_decommit,
    .reset = fake_reset,
    .map = fake_map,
    .map_aligned = fake_map_aligned,
    .map_at = fake_map_at,
    .has_room = fake_has_room,
    .remap = fake_remap,
    .unmap = fake_unmap,
    .advise_huge = fake_advise_huge,
    .advise_small = fake_advise_small,
    .populate = fake_populate,
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
    pim_store_relaxed(&fake.room, SIZE_MAX);
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
fake_os_run_clock(void)
{
    pim_store_relaxed(&fake.clock_stands, false);
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
fake_os_committed(void)
{
    return pim_load_relaxed(&fake.placed_bytes) -
           pim_load_relaxed(&fake.decommitted_bytes);
}

uint64_t
fake_os_calls(enum fake_os_call kind)
{
    return pim_load_relaxed(&fake.calls[pim_lowest_bit(kind)]);
}
