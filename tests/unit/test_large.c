// test_large.c -- blocks above PIM_SPAN_MAX: in maps, or from mimalloc.

#include <string.h>

#include "arena/region.h"
#include "domain/domain.h"
#include "extent/extent.h"
#include "heap/large.h"
#include "heap/remote.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/interp_case.h"

#define LARGE (3 * PIM_SPAN_MAX)

static uint64_t mapped;
static uint64_t mi_blocks;

static int
begin(void **state)
{
    interp_case_begin(state);
    mapped = pim_load_relaxed(&fake.mapped_bytes);
    mi_blocks = fake_mi_live_blocks();
    return 0;
}

static void
give_kept_back(void)
{
    IN_GATE(pim_extent_trim(true));
}

static int
end(void **state)
{
    give_kept_back();
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    EXPECT_EQ(fake_mi_live_blocks(), mi_blocks);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_bytes, 0);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 0);
    EXPECT_EQ(pim_load_relaxed(&heap->large_bytes), 0);
    return interp_case_end(state);
}

static uint64_t
live_bytes(void)
{
    return fake_figures(id).by_domain[MEM].live_bytes;
}

TEST(block_above_the_limit_has_a_map_of_its_own)
{
    char *p = pim_mem_malloc(NULL, PIM_SPAN_MAX + 1);
    EXPECT(!pim_region_contains(p));
    EXPECT_GT(pim_load_relaxed(&fake.mapped_bytes), mapped + PIM_SPAN_MAX);
    EXPECT_EQ(fake_mi_live_blocks(), mi_blocks);
    EXPECT_GE(pim_large_usable(p), PIM_SPAN_MAX + 1);
    EXPECT_EQ(live_bytes(), pim_large_usable(p));
    EXPECT_EQ(fake_figures(id).committed_bytes, pim_large_usable(p));
    memset(p, 1, pim_large_usable(p));
    pim_mem_free(NULL, p);
}

TEST(block_at_the_limit_comes_from_the_region)
{
    char *p = pim_mem_malloc(NULL, PIM_SPAN_MAX);
    EXPECT(pim_region_contains(p));
    pim_mem_free(NULL, p);
}

TEST(zeroed_large_block_is_zero)
{
    for (size_t size = PIM_SPAN_MAX + 1; size < 100 << 20; size *= 5) {
        char *p = pim_mem_malloc(NULL, size);
        memset(p, 1, size);
        pim_mem_free(NULL, p);
        p = pim_mem_calloc(NULL, 1, size);
        for (size_t at = 0; at < size; at += 509) {
            EXPECT_EQ(p[at], 0);
        }
        EXPECT_EQ(p[size - 1], 0);
        pim_mem_free(NULL, p);
    }
}

// --- growth --------------------------------------------------------------------

TEST(grown_block_moves_to_a_map_and_then_grows_in_place)
{
    size_t size = PIM_SPAN_MAX / 2;
    char *p = pim_mem_malloc(NULL, size);
    unsigned moves = 0;
    p[0] = 'a';
    p[size - 1] = 'z';
    while (size < 64 << 20) {
        size_t old = size;
        size = size + size / 8;
        char *q = pim_mem_realloc(NULL, p, size);
        EXPECT_NOT_NULL(q);
        moves += q != p && old >= PIM_EXTENT_GROWN;
        p = q;
        EXPECT_EQ(p[0], 'a');
        EXPECT_EQ(p[old - 1], 'z');
        p[size - 1] = 'z';
        EXPECT_GE(live_bytes(), size);
        EXPECT_LE(live_bytes(), size + PIM_UNIT_SIZE + size / 4);
        EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 1);
    }
    EXPECT_LE(moves, 9); // one a doubling, and those by the kernel
    EXPECT_LE(fake_os_calls(FAKE_REMAP), 9);
    pim_mem_free(NULL, p);
}

TEST(shrunk_map_gives_memory_back)
{
    size_t size = 40 << 20;
    char *p = pim_mem_malloc(NULL, size);
    p[0] = 'a';
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, 1 << 20), p);
    EXPECT_LE(live_bytes(), (1 << 20) + 8192);
    EXPECT_GE(pim_load_relaxed(&heap->idle_bytes), 38 << 20);
    give_kept_back();
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes), mapped + (3 << 20));
    EXPECT_EQ(p[0], 'a');
    p = pim_mem_realloc(NULL, p, 1000);
    EXPECT_EQ(p[0], 'a');
    EXPECT(pim_region_contains(p));
    give_kept_back();
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    pim_mem_free(NULL, p);
}

TEST(slight_shrink_stays_in_place)
{
    char *p = pim_mem_malloc(NULL, LARGE);
    uint64_t live = live_bytes();
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, LARGE - LARGE / 10), p);
    EXPECT_EQ(live_bytes(), live);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, LARGE - LARGE / 4), p);
    EXPECT_LE(live_bytes(), live - LARGE / 4 + 4096);
    pim_mem_free(NULL, p);
}

TEST(growth_without_headroom_is_enough)
{
    char *p = pim_mem_malloc(NULL, LARGE);
    p[LARGE - 1] = 'z';
    fake_os_fail(FAKE_REMAP, 1, false); // the one with headroom
    char *q = pim_mem_realloc(NULL, p, 2 * LARGE);
    fake_os_heal();
    EXPECT_NOT_NULL(q);
    EXPECT_EQ(q[LARGE - 1], 'z');
    q[2 * LARGE - 1] = 1;
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes), mapped + 2 * LARGE + 8192);
    pim_mem_free(NULL, q);
}

TEST(growth_by_another_heap_copies)
{
    fake_interp other;
    char *p = pim_mem_malloc(NULL, LARGE);
    p[LARGE - 1] = 'z';
    fake_interp_detach(&interp);
    fake_interp_start(&other);
    char *q = pim_mem_realloc(NULL, p, 2 * LARGE);
    EXPECT_EQ(q[LARGE - 1], 'z');
    EXPECT_EQ(live_bytes(), 0);
    EXPECT_EQ(fake_figures(id).remote_frees, 1);
    pim_mem_free(NULL, q);
    fake_interp_stop(&other);
    fake_interp_attach(&interp);
    IN_GATE(pim_heap_drain(heap));
}

// --- no map ------------------------------------------------------------------

TEST(block_without_a_map_comes_from_mimalloc)
{
    fake_os_fail(FAKE_MAP, 1, true);
    char *p = pim_mem_malloc(NULL, LARGE);
    char *q = pim_mem_calloc(NULL, 1, LARGE);
    fake_os_heal();
    EXPECT_EQ(fake_mi_live_blocks(), mi_blocks + 2);
    EXPECT_EQ(live_bytes(), pim_large_usable(p) + pim_large_usable(q));
    EXPECT_EQ(q[LARGE - 1], 0);
    memset(p, 1, pim_large_usable(p));
    pim_mem_free(NULL, p);
    pim_mem_free(NULL, q);
}

TEST(block_for_which_there_is_no_memory_is_refused)
{
    char *p = pim_mem_malloc(NULL, LARGE);
    p[0] = 'a';
    fake_os_fail(FAKE_MAP | FAKE_REMAP, 1, true);
    fake_mi_fail(1, true);
    EXPECT_NULL(pim_mem_malloc(NULL, LARGE));
    EXPECT_NULL(pim_mem_realloc(NULL, p, 2 * LARGE));
    fake_os_heal();
    fake_mi_heal();
    EXPECT_EQ(p[0], 'a');
    EXPECT_EQ(live_bytes(), pim_large_usable(p));
    pim_mem_free(NULL, p);
}

TEST(growth_without_a_map_falls_back_to_mimalloc)
{
    char *p = pim_mem_malloc(NULL, LARGE);
    p[LARGE - 1] = 'z';
    fake_os_fail(FAKE_MAP | FAKE_REMAP, 1, true);
    p = pim_mem_realloc(NULL, p, 2 * LARGE);
    fake_os_heal();
    EXPECT_NOT_NULL(p);
    EXPECT_EQ(p[LARGE - 1], 'z');
    EXPECT_EQ(fake_mi_live_blocks(), mi_blocks + 1);
    pim_mem_free(NULL, p);
}

// --- whose block is it? -------------------------------------------------------------

TEST(block_freed_twice_is_left_alone_the_second_time)
{
    // Freed, the header's cookie is gone.  The memory is still kept.
    char *keep = pim_mem_malloc(NULL, LARGE);
    char *p = pim_mem_malloc(NULL, LARGE);
    uint64_t foreign = pim_load_relaxed(&pim_foreign_frees);
    pim_mem_free(NULL, p);
    pim_mem_free(NULL, p);
    EXPECT_EQ(pim_load_relaxed(&pim_foreign_frees), foreign + 1);
    pim_mem_free(NULL, keep);
}

TEST(pointer_into_a_block_is_foreign)
{
    char *p = pim_mem_calloc(NULL, 1, LARGE);
    uint64_t foreign = pim_load_relaxed(&pim_foreign_frees);
    pim_mem_free(NULL, p + 16);
    pim_mem_free(NULL, p + 8);
    EXPECT_EQ(pim_load_relaxed(&pim_foreign_frees), foreign + 2);
    EXPECT_EQ(pim_large_usable(p + 32), 0);
    EXPECT_NULL(pim_mem_realloc(NULL, p + 64, 10));
    pim_mem_free(NULL, p);
}

TEST(moved_header_is_not_believed)
{
    char *p = pim_mem_malloc(NULL, LARGE);
    char *copy = pim_mem_malloc(NULL, LARGE);
    memcpy(copy, p - 64, 200); // a block's copy, header and all
    EXPECT_EQ(pim_large_usable(copy + 64), 0);
    pim_mem_free(NULL, copy);
    pim_mem_free(NULL, p);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)
