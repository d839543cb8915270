// test_extent.c -- what is kept of freed maps: for whom, how much and how long.

#include "arena/region.h"
#include "domain/domain.h"
#include "extent/extent.h"
#include "heap/large.h"
#include "heap/remote.h"
#include "mi/mi.h"
#include "support/blocks.h"
#include "support/core.h"
#include "support/fake_os.h"

#define HUGE PIM_ARENA_SIZE

static size_t
about(size_t bytes)
{
    return bytes + 2 * PAGE;
}

// --- for the next block ------------------------------------------------------

TEST(freed_map_serves_the_next_block)
{
    char *p = make(4 * MIB);
    drop(p);
    count_calls();
    EXPECT_PTR_EQ(make(4 * MIB), p);
    EXPECT_EQ(calls_since(), 0);
    EXPECT_EQ(idle(), 0);
    drop(p);
}

TEST(what_is_kept_is_in_the_figures)
{
    char *p = make(4 * MIB);
    size_t used = pim_large_usable(p);
    uint64_t others = fake_figures(the.id).committed_bytes - used;
    drop(p);
    EXPECT_GE(idle(), used);
    EXPECT_LE(idle(), about(used));
    EXPECT_EQ(fake_figures(the.id).committed_bytes, others + idle());
    EXPECT_EQ(fake_figures(the.id).by_domain[MEM].live_bytes, 0);
}

TEST(smaller_block_leaves_the_rest_to_others)
{
    drop(make(8 * MIB));
    count_calls();
    char *p = make(3 * MIB);
    EXPECT_LE(idle(), 5 * MIB);
    EXPECT_GE(idle(), 5 * MIB - 2 * PAGE);
    char *q = make(4 * MIB);
    EXPECT_LE(idle(), MIB);
    drop(p);
    drop(q);
    EXPECT_GE(idle(), 8 * MIB);
    p = make(8 * MIB); // they are one again
    EXPECT_EQ(calls_since(), 0);
    drop(p);
}

TEST(little_that_would_be_left_comes_along)
{
    drop(make(4 * MIB));
    char *p = pim_mem_malloc(NULL, 4 * MIB - 100000);
    EXPECT_GE(pim_large_usable(p), 4 * MIB);
    EXPECT_EQ(idle(), 0);
    drop(p);
}

TEST(block_that_is_hardly_touched_is_not_kept)
{
    drop(make(4 * MIB));
    char *p = grow(NULL, 0, PIM_EXTENT_KEPT_MIN - 50000); // from what is kept
    EXPECT(!pim_region_contains(p));
    trim_extents(true);
    drop(p);
    EXPECT_EQ(idle(), 0);
}

TEST(zeroed_block_of_kept_memory_is_zero)
{
    drop(make(8 * MIB));
    drop(pim_mem_calloc(NULL, 1, 2 * MIB));
    char *p = pim_mem_calloc(NULL, 1, 9 * MIB);
    char *q = pim_mem_calloc(NULL, 1, 5 * MIB);
    for (size_t at = 0; at < 5 * MIB; at += 61) {
        EXPECT_EQ(p[at] | p[4 * MIB + at] | q[at], 0);
    }
    drop(p);
    drop(q);
}

// --- how long --------------------------------------------------------------------

TEST(what_nobody_wants_goes_with_the_second_tick)
{
    drop(make(4 * MIB));
    trim_extents(false); // not due
    fake_os_advance(PIM_PURGE_DELAY_MS);
    trim_extents(false);
    trim_extents(false); // another thread, at the same time
    EXPECT_GE(idle(), 4 * MIB);
    fake_os_advance(PIM_PURGE_DELAY_MS);
    trim_extents(false);
    EXPECT_EQ(idle(), 0);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), the.mapped);
    EXPECT_EQ(pim_load_relaxed(&pim_extent_until), 0);
}

TEST(what_is_wanted_again_and_again_stays_and_the_rest_goes)
{
    drop(make(16 * MIB));
    count_calls();
    for (unsigned i = 0; i < 20; i++) {
        drop(make(4 * MIB));
        fake_os_advance(PIM_PURGE_DELAY_MS / 4);
        trim_extents(false);
    }
    EXPECT_EQ(calls_since(), 0);
    EXPECT_LE(idle(), 4 * MIB + HUGE); // up to the end of a huge page
    EXPECT_GE(idle(), 4 * MIB);
}

TEST(slow_paths_drive_the_ticks)
{
    drop(make(4 * MIB));
    for (unsigned i = 0; i < 4; i++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        for (unsigned k = 0; k < 100; k++) {
            drop(pim_mem_malloc(NULL, 2 * MIB)); // looks at the clock at times
        }
    }
    EXPECT_LE(idle(), about(2 * MIB));
}

TEST(who_only_frees_drives_the_ticks_too)
{
    char *blocks[3] = {make(2 * MIB), make(2 * MIB), make(2 * MIB)};
    drop(make(4 * MIB));
    for (unsigned i = 0; i < 3; i++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        drop(blocks[i]);
    }
    EXPECT_LE(idle(), 6 * MIB + about(0)); // the large one went
}

TEST(who_only_grows_drives_the_ticks_too)
{
    char *p = grow(NULL, 0, 5 * MIB);
    drop(make(4 * MIB));
    for (size_t i = 0; i < 2; i++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        p = grow(p, 5 * MIB + i * 8 * PAGE, 5 * MIB + (i + 1) * 8 * PAGE);
    }
    EXPECT_EQ(idle(), 0);
    drop(p);
}

TEST(huge_pages_are_kept_and_given_back_whole)
{
    drop(make(16 * MIB));
    for (unsigned i = 0; i < 8; i++) {
        IN_GATE(pim_extent_make_way(300000));
        EXPECT(pim_load_relaxed(&fake.unmapped_last) % HUGE == 0 ||
               idle() == 0);
    }
    EXPECT_EQ(idle(), 0);
}

TEST(what_makes_way_is_whole_pages)
{
    drop(make(2 * MIB - 8 * PAGE)); // too small for huge pages
    IN_GATE(pim_extent_make_way(5000));
    EXPECT_EQ(idle() % PAGE, 0);
    EXPECT_LE(idle(), 2 * MIB - 8 * PAGE);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), the.mapped + idle());
}

// --- how much --------------------------------------------------------------------

TEST(no_more_than_the_budget_is_kept_and_the_oldest_goes)
{
    char *blocks[6];
    for (unsigned i = 0; i < 6; i++) {
        blocks[i] = make(12 * MIB);
    }
    for (unsigned i = 0; i < 6; i++) {
        drop(blocks[i]);
        EXPECT_LE(idle(), PIM_EXTENTS_IDLE);
    }
    EXPECT_GE(idle(), PIM_EXTENTS_IDLE - MIB - HUGE);
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes),
              the.mapped + PIM_EXTENTS_IDLE + MIB);
    count_calls();
    char *p = make(12 * MIB); // the youngest is whole
    EXPECT_EQ(calls_since(), 0);
    drop(p);
}

TEST(of_a_block_beyond_the_budget_the_beginning_is_kept)
{
    drop(make(PIM_EXTENTS_IDLE + 10 * MIB));
    EXPECT_EQ(idle(), PIM_EXTENTS_IDLE);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes),
              the.mapped + PIM_EXTENTS_IDLE);
}

TEST(no_more_than_so_many_pieces_are_kept)
{
    enum { N = 40 };
    char *blocks[N];
    for (unsigned i = 0; i < N; i++) {
        blocks[i] = make(MIB + PAGE + i * PAGE);
    }
    for (unsigned i = 0; i < N; i++) {
        drop(blocks[i]);
        pim_extent_audit(&the.heap->idle_bytes);
    }
    EXPECT_LE(idle(), 32 * (MIB + (N + 1) * PAGE));
    EXPECT_GE(idle(), 30 * MIB);
}

TEST(memory_faulted_in_elsewhere_drives_out_what_is_kept)
{
    drop(make(16 * MIB));
    char *p = make(20 * MIB); // a map
    EXPECT_EQ(idle(), 0);
    drop(p);
    size_t before = idle();
    uint64_t arenas = fake_figures(the.id).arenas;
    void *blocks[300];
    core_fill(PIM_MEM, blocks, 300, 30000);
    arenas = fake_figures(the.id).arenas - arenas;
    EXPECT_GT(arenas, 2);
    EXPECT_LE(idle(), before - arenas * PIM_ARENA_SIZE);
    EXPECT_GE(idle(), before - 2 * arenas * PIM_ARENA_SIZE);
    for (unsigned i = 0; i < 300; i++) {
        drop(blocks[i]);
    }
}

TEST(growth_into_clean_memory_drives_out_what_is_kept)
{
    char *grown = grow(NULL, 0, 5 * MIB);
    drop(make(4 * MIB));
    grown = grow(grown, 5 * MIB, 7 * MIB);
    EXPECT_LE(idle(), about(2 * MIB));
    drop(grown);
}

// --- failures ----------------------------------------------------------------------

TEST(what_is_kept_makes_room_for_a_map_that_is_refused)
{
    drop(make(4 * MIB));
    fake_os_fail(FAKE_MAP, 1, false);
    char *p = make(2 * PIM_EXTENTS_IDLE);
    fake_os_heal();
    EXPECT(!pim_mi.contains(p));
    EXPECT_EQ(idle(), 0);
    drop(p);
}

TEST(what_is_kept_makes_room_for_a_larger_map_that_is_refused)
{
    char *p = make(8 * MIB);
    drop(make(2 * MIB));
    fake_os_fail(FAKE_REMAP, 1, false);
    p = pim_mem_realloc(NULL, p, 9 * MIB);
    fake_os_heal();
    EXPECT_NOT_NULL(p);
    EXPECT_EQ(idle(), 0);
    drop(p);
}

TEST(what_is_kept_makes_room_for_an_arena_that_is_refused)
{
    void *blocks[200];
    drop(make(16 * MIB));
    IN_GATE(pim_region_trim()); // no arena is retained
    uint64_t arenas = fake_figures(the.id).arenas;
    fake_os_fail(FAKE_PLACE, 1, false);
    for (unsigned i = 0; i < 200; i++) {
        blocks[i] = pim_mem_malloc(NULL, 30000);
        EXPECT(pim_region_contains(blocks[i]));
    }
    fake_os_heal();
    EXPECT_GT(fake_figures(the.id).arenas, arenas);
    EXPECT_EQ(idle(), 0);
    for (unsigned i = 0; i < 200; i++) {
        drop(blocks[i]);
    }
}

TEST(map_that_cannot_grow_is_copied)
{
    char *p = make(3 * MIB);
    p[3 * MIB - 1] = 'z';
    fake_os_fail(FAKE_REMAP, 1, true);
    char *q = pim_mem_realloc(NULL, p, 6 * MIB);
    fake_os_heal();
    EXPECT_PTR_NE(q, p);
    EXPECT_EQ(q[3 * MIB - 1], 'z');
    drop(q);
}

// --- other heaps -------------------------------------------------------------------

TEST(kept_memory_goes_with_its_interpreter)
{
    fake_interp other;
    drop(make(4 * MIB));
    fake_interp_detach(&the.interp);
    fake_interp_start(&other);
    char *p = make(6 * MIB); // drives out all but nothing
    drop(p);
    char *mine = make(3 * MIB); // of what is kept
    fake_interp_detach(&other);
    int64_t other_id = other.state->id;
    fake_interp_end(&other);
    EXPECT_EQ(fake_figures(other_id).committed_bytes, 0);
    EXPECT_EQ(idle(), 0);
    uint64_t process = fake_figures(PIM_PROCESS_ID).committed_bytes;
    fake_interp_attach(&the.interp);
    drop(mine); // late: the process keeps it
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[MEM].live_blocks, 0);
    EXPECT_LE(fake_figures(PIM_PROCESS_ID).committed_bytes, process + PAGE);
    EXPECT_GE(pim_load_relaxed(&pim_process_heap.idle_bytes), 3 * MIB);
    pim_extent_audit(&pim_process_heap.idle_bytes);
    count_calls();
    p = make(3 * MIB); // and whoever comes next gets it
    EXPECT_EQ(calls_since(), 0);
    drop(p);
}

TEST(what_an_interpreter_keeps_survives_the_end_of_others)
{
    fake_interp other;
    drop(make(4 * MIB));
    fake_interp_detach(&the.interp);
    fake_interp_start(&other);
    drop(pim_mem_malloc(NULL, 100));
    fake_interp_stop(&other);
    fake_interp_attach(&the.interp);
    EXPECT_GE(idle(), 2 * MIB); // an arena of the other took some
}

TEST(map_freed_by_another_heap_is_in_the_owners_figures)
{
    fake_interp other;
    char *p = make(4 * MIB);
    fake_interp_detach(&the.interp);
    fake_interp_start(&other);
    drop(p);
    EXPECT_GE(idle(), 4 * MIB);
    fake_interp_stop(&other);
    fake_interp_attach(&the.interp);
    IN_GATE(pim_heap_drain(the.heap));
}

SUITE(.set_up = core_set_up, .begin = blocks_begin, .end = blocks_end)
