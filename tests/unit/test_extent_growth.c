// test_extent_growth.c -- blocks that grow into what is kept of freed maps.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena/region.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "platform/huge_page.h"
#include "support/blocks.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"

// Large enough for a kept map, and too small for one of its own.
#define LIST (PIM_EXTENT_GROWN_KEPT + 70000)

// --- growth ----------------------------------------------------------------------

TEST(growing_block_takes_what_is_kept_as_it_needs)
{
    drop(make(16 * MIB));
    size_t whole = idle();
    count_calls();
    char *p = NULL;
    for (size_t size = 256 << 10; size < 16 * MIB; size *= 2) {
        p = grow(p, p != NULL ? size / 2 : 0, size);
        EXPECT_LE(idle() + size, whole);
        EXPECT_GE(idle() + size + 2 * PAGE, whole);
    }
    EXPECT_EQ(calls_since(), 0);
    drop(p);
    EXPECT_EQ(idle(), whole); // and they are one again
}

TEST(shrunk_block_grows_again_into_what_it_left)
{
    char *p = make(8 * MIB);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, 2 * MIB), p);
    EXPECT_GE(idle(), 6 * MIB - PAGE);
    count_calls();
    EXPECT_PTR_EQ(grow(p, 2 * MIB, 8 * MIB), p);
    EXPECT_EQ(calls_since(), 0);
    EXPECT_EQ(idle(), 0);
    drop(p);
}

TEST(blocks_that_grow_in_turns_share_what_is_kept)
{
    drop(make(40 * MIB));
    count_calls();
    char *p = grow(NULL, 0, 4 * MIB);
    char *q = grow(NULL, 0, 4 * MIB);
    for (size_t size = 4 * MIB; size < 16 * MIB; size += MIB) {
        p = grow(p, size, size + MIB);
        q = grow(q, size, size + MIB);
    }
    EXPECT_EQ(calls_since(), 0);
    drop(p);
    drop(q);
    EXPECT_GE(idle(), 40 * MIB); // one piece again
    p = make(40 * MIB);
    EXPECT_EQ(calls_since(), 0);
    drop(p);
}

TEST(much_smaller_block_gets_out_of_the_way)
{
    drop(make(16 * MIB));
    count_calls();
    char *little = grow(NULL, 0, LIST);
    EXPECT(!pim_region_contains(little));
    char *p = grow(NULL, 0, 12 * MIB);
    EXPECT_EQ(calls_since(), 0); // still that one map
    EXPECT_LE(idle(), 4 * MIB);
    little = grow(little, LIST, 2 * LIST);
    drop(little);
    drop(p);
}

TEST(block_of_fixed_size_takes_the_end_of_anothers_room)
{
    drop(make(16 * MIB));
    count_calls();
    char *p = grow(NULL, 0, 4 * MIB);
    char *q = make(5 * MIB);
    EXPECT_PTR_EQ(grow(p, 4 * MIB, 7 * MIB), p);
    EXPECT_EQ(calls_since(), 0);
    drop(p);
    drop(q);
}

TEST(block_that_outgrows_its_room_is_copied_to_a_larger_one)
{
    char *small = make(2 * MIB);
    char *large = make(20 * MIB);
    drop(large);
    drop(small);
    char *p = grow(NULL, 0, MIB);
    EXPECT_PTR_EQ((void *)((uintptr_t)p & ~(PAGE - 1)),
                  (void *)((uintptr_t)small & ~(PAGE - 1)));
    count_calls();
    p = grow(p, MIB, 12 * MIB);
    EXPECT_EQ(calls_since(), 0);
    EXPECT_GE(idle(), 2 * MIB);
    drop(p);
}

TEST(few_small_blocks_take_what_is_kept)
{
    enum { N = 20 };
    char *blocks[N];
    char *lists[N];
    unsigned maps = 0;
    for (unsigned i = 0; i < N; i++) {
        blocks[i] = make(2 * MIB);
    }
    for (unsigned i = 0; i < N; i++) {
        drop(blocks[i]);
    }
    for (unsigned i = 0; i < N; i++) {
        lists[i] = grow(NULL, 0, LIST);
        maps += !pim_region_contains(lists[i]);
    }
    EXPECT_EQ(maps, 16);
    lists[0] = grow(lists[0], LIST, 2 * MIB); // that one is large now
    char *p = grow(NULL, 0, LIST);
    EXPECT(!pim_region_contains(p));
    drop(p);
    for (unsigned i = 0; i < N; i++) {
        drop(lists[i]);
    }
    p = grow(NULL, 0, LIST);
    EXPECT(!pim_region_contains(p)); // all of them are to be had again
    drop(p);
}

// --- huge pages --------------------------------------------------------------------

// Has the system say that its huge pages are so large.
static void
say_huge_pages_are(const char *bytes)
{
    char path[] = "/tmp/pimalloc-huge-XXXXXX";
    int fd = mkstemp(path);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
    pim_huge_page_look(path);
    unlink(path);
}

TEST(huge_pages_of_another_size_are_not_asked_for)
{
    uint64_t huge = pim_load_relaxed(&fake.huge);
    say_huge_pages_are("536870912\n");
    EXPECT(!pim_huge_page_suits());
    drop(make(PIM_EXTENT_HUGE_BORN));
    EXPECT_EQ(pim_load_relaxed(&fake.huge), huge);
    trim_extents(true);

    say_huge_pages_are("2097152\n");
    EXPECT(pim_huge_page_suits());
    drop(make(PIM_EXTENT_HUGE_BORN));
    EXPECT_EQ(pim_load_relaxed(&fake.huge), huge + 1);
    trim_extents(true);

    pim_huge_page_look("/nowhere"); // then the system's pages tell
    EXPECT_EQ(pim_huge_page_suits(), pim_os_page_size() == 4096);
}

TEST(huge_pages_are_asked_for_where_the_memory_is_used)
{
    uint64_t huge = pim_load_relaxed(&fake.huge);
    char *p = grow(NULL, 0, PIM_EXTENT_HUGE_GROWN / 2);
    EXPECT_EQ(pim_load_relaxed(&fake.huge), huge);
    p = grow(p, PIM_EXTENT_HUGE_GROWN / 2, 3 * PIM_EXTENT_HUGE_GROWN);
    EXPECT_GT(pim_load_relaxed(&fake.huge), huge);
    drop(p);
    trim_extents(true);

    huge = pim_load_relaxed(&fake.huge);
    drop(make(PIM_EXTENT_HUGE_BORN - MIB / 2));
    EXPECT_EQ(pim_load_relaxed(&fake.huge), huge);
    trim_extents(true);
    drop(pim_mem_calloc(NULL, 1, PIM_EXTENT_HUGE_BORN)); // may be used in part
    EXPECT_EQ(pim_load_relaxed(&fake.huge), huge);
    trim_extents(true);
    p = make(PIM_EXTENT_HUGE_BORN);
    EXPECT_EQ(pim_load_relaxed(&fake.huge), huge + 1);
    uint64_t small = pim_load_relaxed(&fake.small);
    p = grow(p, PIM_EXTENT_HUGE_BORN,
             PIM_EXTENT_HUGE_BORN + MIB); // now it grows
    EXPECT_EQ(pim_load_relaxed(&fake.small), small + 1);
    drop(p);
}

// How much is mapped beyond what a block uses.
static size_t
room_of(const char *block)
{
    return pim_load_relaxed(&fake.mapped_bytes) - the.mapped -
           pim_large_usable(block);
}

TEST(room_to_grow_is_bounded)
{
    char *p = grow(NULL, 0, 4 * MIB);
    EXPECT_GE(room_of(p), MIB);
    p = grow(p, 4 * MIB, 100 * MIB);
    EXPECT_LE(room_of(p), PIM_EXTENT_ROOM + 2 * PIM_ARENA_SIZE);
    drop(p);
    trim_extents(true);
}

// Once the system has the room back, it may grant what it refused.
TEST(room_to_grow_goes_before_a_request_is_refused)
{
    for (unsigned arena = 0; arena < 2; arena++) {
        char *p = grow(NULL, 0, 6 * MIB);
        trim_extents(true);
        EXPECT_GE(room_of(p), MIB);
        fake_os_fail(arena ? FAKE_PLACE : FAKE_MAP, 1, true);
        fake_mi_fail(1, true);
        void *blocks[256];
        unsigned n = 0; // arenas that are mapped have some left
        while ((blocks[n] = pim_mem_malloc(NULL, arena ? 30000 : 4 * MIB)) !=
               NULL) {
            n++;
        }
        EXPECT_GE(pim_load_relaxed(&fake.failed), 2); // it was asked again
        fake_os_heal();
        fake_mi_heal();
        EXPECT_LE(room_of(p), 2 * PAGE);
        p = grow(p, 6 * MIB, 8 * MIB);
        drop(p);
        while (n-- > 0) {
            drop(blocks[n]);
        }
        trim_extents(true);
    }
}

// At a new peak idle arenas would go, and new ones take their memory from the maps that
// are kept.
static int
begin_below_the_peak(void **state)
{
    int status = blocks_begin(state);
    fake_current_heap()->purge.dirty_peak = UINT64_MAX;
    return status;
}

SUITE(.set_up = core_set_up, .begin = begin_below_the_peak, .end = blocks_end)
