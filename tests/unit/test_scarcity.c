// test_scarcity.c -- what changes where address space is limited, or nearly used up.

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "arena/region.h"
#include "domain/domain.h"
#include "heap/alloc.h"
#include "heap/purge.h"
#include "platform/room.h"
#include "platform/scarcity.h"
#include "support/blocks.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/tsan.h"

static void
leave(size_t bytes)
{
    pim_store_relaxed(&fake.room, bytes);
    pim_scarcity_look();
}

static int
begin(void **state)
{
    blocks_begin(state);
    leave(SIZE_MAX);
    return 0;
}

static int
end(void **state)
{
    leave(SIZE_MAX);
    return blocks_end(state);
}

TEST(what_is_left_is_found_by_trying)
{
    EXPECT(!pim_is_limited() && !pim_is_tight());
    leave(PIM_LIMITED_BYTES - 1);
    EXPECT(pim_is_limited() && !pim_is_tight());
    leave(PIM_TIGHT_BYTES - 1);
    EXPECT(pim_is_limited() && pim_is_tight());
    leave(PIM_LIMITED_BYTES);
    EXPECT(!pim_is_limited());
}

// Growth looks at it now and then.
TEST(growing_heap_notices_that_little_is_left)
{
    void *blocks[64];
    pim_store_relaxed(&fake.room, PIM_TIGHT_BYTES - 1);
    EXPECT(!pim_is_tight());
    core_fill(PIM_MEM, blocks, 64, PIM_SPAN_MAX);
    EXPECT(pim_is_tight());
    core_free_all(PIM_MEM, blocks, 64);
}

TEST(large_maps_notice_it_too)
{
    pim_store_relaxed(&fake.room, PIM_TIGHT_BYTES - 1);
    drop(make(16 * MIB));
    EXPECT(pim_is_tight());
}

TEST(at_the_limit_no_map_is_kept_and_none_has_much_room)
{
    leave(PIM_TIGHT_BYTES - 1);
    uint64_t mapped = pim_load_relaxed(&fake.mapped_bytes);
    drop(make(8 * MIB));
    EXPECT_EQ(idle(), 0);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    char *p = grow(NULL, 0, 20 * MIB);
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes) - mapped,
              23 * MIB + 2 * PIM_ARENA_SIZE);
    drop(p);
}

TEST(what_was_kept_before_goes_at_the_tick)
{
    drop(make(8 * MIB));
    EXPECT_GE(idle(), 8 * MIB);
    pim_store_relaxed(&fake.room, PIM_TIGHT_BYTES - 1);
    fake_os_advance(PIM_PURGE_DELAY_MS);
    drop(make(2 * MIB));
    EXPECT_EQ(idle(), 0);
}

TEST(at_the_limit_arenas_go_back_at_once)
{
    enum { N = 2000 };
    static void *blocks[N];
    for (unsigned tight = 0; tight < 2; tight++) {
        leave(tight ? PIM_TIGHT_BYTES - 1 : SIZE_MAX);
        pim_gate_enter();
        pim_heap_purge(the.heap, true);
        pim_region_trim();
        pim_gate_exit();
        uint64_t placed = pim_load_relaxed(&fake.placed_bytes);
        core_fill(PIM_MEM, blocks, N, 30000);
        core_free_all(PIM_MEM, blocks, N);
        uint64_t left = pim_load_relaxed(&fake.placed_bytes) - placed;
        if (tight) {
            EXPECT_LE(left, 4 * PIM_ARENA_SIZE);
        } else {
            EXPECT_GE(left, 4 * PIM_ARENA_SIZE);
        }
    }
}

// The whole units of a span would be wasted on a block that stays small.
TEST(where_space_is_limited_small_blocks_grow_within_their_classes)
{
    for (unsigned limited = 0; limited < 2; limited++) {
        leave(limited ? PIM_LIMITED_BYTES - 1 : SIZE_MAX);
        char *p = pim_mem_malloc(NULL, 4000);
        for (size_t size = 4000; size < 9000; size += size / 8) {
            p = pim_mem_realloc(NULL, p, size);
            memset(p, 1, size);
        }
        EXPECT_EQ(pim_page_of(p)->size_class == PIM_CLASS_SPAN, !limited);
        pim_mem_free(NULL, p);
    }
}

// Spans of five units, of which each takes eight where there is plenty.
TEST(where_space_is_limited_spans_lie_close_together)
{
    enum { N = 500 };
    static void *blocks[N];
    size_t room[2];
    for (unsigned limited = 0; limited < 2; limited++) {
        leave(limited ? PIM_LIMITED_BYTES - 1 : SIZE_MAX);
        pim_gate_enter();
        pim_heap_purge(the.heap, true);
        pim_region_trim();
        pim_gate_exit();
        uint64_t before = pim_load_relaxed(&the.heap->arenas.arenas);
        for (unsigned i = 0; i < N; i++) {
            blocks[i] = pim_mem_malloc(NULL, 5 * PIM_UNIT_SIZE);
            memset(blocks[i], 1, 5 * PIM_UNIT_SIZE);
        }
        room[limited] = pim_load_relaxed(&the.heap->arenas.arenas) - before;
        core_free_all(PIM_MEM, blocks, N);
    }
    EXPECT_GE(room[0], N * 8 / PIM_ARENA_UNITS);
    EXPECT_LE(room[1], N * 5 / (PIM_ARENA_UNITS - 8) + 2);
}

// Whatever memory it is that is more than ever.
TEST(large_blocks_drive_idle_arenas_out)
{
    enum { N = 1000 };
    static void *blocks[N];
    for (unsigned i = 0; i < N; i++) {
        blocks[i] = pim_mem_malloc(NULL, 30000);
        memset(blocks[i], 1, 30000);
    }
    core_free_all(PIM_MEM, blocks, N);
    uint64_t idle_units = the.heap->arenas.idle_units;
    EXPECT_GE(idle_units * PIM_UNIT_SIZE, 20 * MIB);
    char *p = NULL;
    for (size_t size = MIB; size <= 64 * MIB; size *= 2) {
        p = grow(p, p != NULL ? size / 2 : 0, size);
    }
    EXPECT_LE(the.heap->arenas.idle_units, idle_units / 4);
    drop(p);
}

// Sets a limit, asks, and takes it away.
static bool
leaves(int resource, rlim_t limit, size_t bytes)
{
    struct rlimit before;
    struct rlimit now;
    EXPECT_EQ(getrlimit((__rlimit_resource_t)resource, &before), 0);
    now = before;
    now.rlim_cur = limit;
    EXPECT_EQ(setrlimit((__rlimit_resource_t)resource, &now), 0);
    bool is_left = pim_limits_leave(bytes);
    EXPECT_EQ(setrlimit((__rlimit_resource_t)resource, &before), 0);
    return is_left;
}

// Without a trial: other threads would be short of what it maps, and where all memory
// to come is locked it would be filled.
TEST(what_limits_leave_is_computed)
{
#if PIM_TSAN || defined(__SANITIZE_ADDRESS__)
    skip(); // it has TiBs
#endif
    const rlim_t limit = (rlim_t)64 << 30;
    struct rusage before;
    struct rusage after;
    EXPECT(pim_limits_leave(SIZE_MAX / 2));
    bool is_locked = mlockall(MCL_FUTURE) == 0; // or ulimit -l
    getrusage(RUSAGE_SELF, &before);
    EXPECT(leaves(RLIMIT_AS, limit, (size_t)32 << 30));
    EXPECT(!leaves(RLIMIT_AS, limit, (size_t)64 << 30));
    EXPECT(!leaves(RLIMIT_AS, 1 << 20, 1));
    EXPECT(leaves(RLIMIT_DATA, limit, (size_t)32 << 30));
    EXPECT(!leaves(RLIMIT_DATA, limit, (size_t)64 << 30));
    EXPECT(!leaves(RLIMIT_DATA, 1 << 10, 1));
    getrusage(RUSAGE_SELF, &after);
    if (is_locked) {
        munlockall();
    }
    EXPECT_LE(after.ru_maxrss - before.ru_maxrss, 1024);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)
