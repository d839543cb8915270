// test_raw.c -- the raw domain's small blocks: the heap that all threads share
// and what a thread keeps of it.

#include <stdlib.h>
#include <string.h>

#include "account/ledger.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "interp/figures.h"
#include "interp/find_owner.h"
#include "mi/mi.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/raw_world.h"

static const pim_raw_table nobody;

// --- where blocks come from ------------------------------------------------

TEST(small_sizes_come_from_the_raw_heap_and_larger_ones_do_not)
{
    pim_usage before = raw_now();
    for (size_t size = 0; size <= PIM_RAW_SMALL_MAX + 100; size++) {
        unsigned char *p = size % 3 == 0 ? pim_raw_calloc(NULL, 1, size)
                                         : pim_raw_malloc(NULL, size);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
        EXPECT_EQ(raw_is_small(p), size <= PIM_RAW_SMALL_MAX);
        EXPECT(size % 3 != 0 || size == 0 || (p[0] == 0 && p[size - 1] == 0));
        memset(p, 0xaa, size);
        EXPECT_EQ(raw_now().live_blocks, before.live_blocks + 1);
        if (raw_is_small(p)) {
            EXPECT_EQ(raw_now().live_bytes,
                      before.live_bytes + core_block_bytes(size + !size));
        }
        pim_raw_free(NULL, p);
        EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    }
    EXPECT_GT(pim_raw_small_audit(), 0);
}

TEST(realloc_moves_between_the_raw_heap_and_mimalloc)
{
    static const size_t sizes[] = {10,   16,   17,     500,   60,  4144,
                                   4145, 3000, 100000, 70000, 200, 1};
    pim_usage before = raw_now();
    char *p = pim_raw_malloc(NULL, 1);
    size_t size = 1;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        memset(p, (int)i, size);
        p = pim_raw_realloc(NULL, p, sizes[i]);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ(p[(size < sizes[i] ? size : sizes[i]) - 1], (char)i);
        EXPECT_EQ(raw_now().live_blocks, before.live_blocks + 1);
        size = sizes[i];
    }
    EXPECT_NULL(pim_raw_realloc(NULL, p, SIZE_MAX));
    pim_raw_free(NULL, p);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
}

// As where CPython's swaps of the table let libc's free meet our blocks.
TEST(with_another_source_no_block_of_ours_is_handed_out)
{
    pim_raw_free(NULL, pim_raw_malloc(NULL, 100));
    EXPECT_GT(raw_kept(100), 0);
    pim_raw_set_source(PIM_RAW_MIMALLOC, nobody);
    void *p = pim_raw_malloc(NULL, 100);
    void *q = pim_raw_calloc(NULL, 1, 100);
    EXPECT(!pim_region_contains(p) && pim_mi.contains(p));
    EXPECT(!pim_region_contains(q) && pim_mi.contains(q));
    pim_raw_set_source(PIM_RAW_LIBC, nobody);
    free(pim_raw_malloc(NULL, 100));
    pim_raw_set_source(PIM_RAW_MIMALLOC, nobody);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, pim_raw_realloc(NULL, q, 1000));
    pim_raw_set_source(PIM_RAW_OWN, nobody);
}

static unsigned asked; // of the raw heap, under its lock

static void
count_asked(const pim_heap *heap)
{
    asked += heap->id == PIM_PROCESS_ID;
}

// Whether its interpreter is still there is asked of a heap that has one.
TEST(the_raw_heap_has_no_interpreter)
{
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    void (*before)(const pim_heap *) = pim_heap_look_again;
    pim_heap_look_again = count_asked;
    core_fill(PIM_RAW, blocks, BLOCKS, 512);
    core_free_all(PIM_RAW, blocks, BLOCKS);
    pim_heap_look_again = before;
    EXPECT_EQ(asked, 0);
}

TEST(the_raw_heap_reclaims_no_arena)
{
    enum { LEAKED = 100, BLOCKS = 6000 };
    static void *leaked[LEAKED * 40];
    static void *blocks[BLOCKS];
    fake_interp interp;
    fake_interp_start(&interp);
    core_fill(PIM_OBJ, leaked, PIM_ARRAY_LEN(leaked), 1000);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(leaked); i++) {
        if (i % 40 != 0) {
            pim_obj_free(NULL, leaked[i]);
        }
    }
    fake_interp_stop(&interp);
    pim_figures abandoned = fake_figures(PIM_PROCESS_ID);
    EXPECT_GT(abandoned.arenas, 0);
    core_fill(PIM_RAW, blocks, BLOCKS, 1000);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, abandoned.arenas);
    EXPECT_GT(pim_load_relaxed(&pim_raw_heap.arenas.arenas), 1);
    pim_raw_small_audit();
    core_free_all(PIM_RAW, blocks, BLOCKS);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(leaked); i += 40) {
        pim_obj_free(NULL, leaked[i]);
    }
}

// --- what a thread keeps ---------------------------------------------------

TEST(a_bin_keeps_so_many_blocks_and_bytes_and_no_more)
{
    enum { BLOCKS = 500 };
    static void *blocks[BLOCKS];
    for (size_t size = 16; size <= PIM_RAW_SMALL_MAX; size *= 2) {
        core_fill(PIM_RAW, blocks, BLOCKS, size);
        core_free_all(PIM_RAW, blocks, BLOCKS);
        size_t kept = raw_kept(size);
        EXPECT_GT(kept, 0);
        EXPECT_LE(kept, 32);
        EXPECT(kept <= 2 || kept * core_block_bytes(size) <= 8192);
    }
    pim_raw_small_audit();
}

TEST(what_is_kept_is_free_in_the_figures)
{
    pim_usage before = raw_now();
    uint64_t unused = raw_taken() - before.live_blocks;
    void *p[10];
    core_fill(PIM_RAW, p, 10, 300);
    core_free_all(PIM_RAW, p, 10);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    EXPECT_GE(raw_taken() - raw_now().live_blocks, unused);
}

TEST(the_last_freed_block_is_the_next)
{
    void *p = pim_raw_malloc(NULL, 40);
    void *q = pim_raw_malloc(NULL, 40);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
    EXPECT_EQ((uintptr_t)pim_raw_malloc(NULL, 40), (uintptr_t)q);
    EXPECT_EQ((uintptr_t)pim_raw_malloc(NULL, 40), (uintptr_t)p);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
}

static void
run_trim(void)
{
    IN_GATE(pim_raw_small_trim());
}

TEST(trim_gives_back_what_the_caller_keeps)
{
    enum { BLOCKS = 3000 };
    static void *blocks[BLOCKS];
    run_trim();
    uint64_t before = raw_taken();
    uint64_t dirty = pim_load_relaxed(&pim_raw_heap.arenas.dirty_units);
    core_fill(PIM_RAW, blocks, BLOCKS, 1000);
    core_free_all(PIM_RAW, blocks, BLOCKS);
    EXPECT_GT(raw_taken(), before);
    run_trim();
    EXPECT_EQ(raw_taken(), before);
    EXPECT_LE(pim_load_relaxed(&pim_raw_heap.arenas.dirty_units), dirty + 1);
}

// --- misuse ----------------------------------------------------------------

static void
free_twice(void *arg)
{
    (void)arg;
    void *p = pim_raw_malloc(NULL, 100);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, p);
}

static void
free_of_mem(void *arg)
{
    (void)arg;
    pim_raw_free(NULL, pim_mem_malloc(NULL, 100));
}

static void
realloc_of_obj(void *arg)
{
    (void)arg;
    pim_raw_realloc(NULL, pim_obj_malloc(NULL, 100), 200);
}

TEST(misuse_of_small_blocks_is_fatal)
{
    core_expect_fatal(free_twice, NULL, "a raw block was freed twice");
    core_expect_fatal(free_of_mem, NULL, "raw free of a block that is not raw");
    core_expect_fatal(realloc_of_obj, NULL,
                      "raw realloc of a block that is not raw");
}

static void
audit(void *arg)
{
    (void)arg;
    pim_raw_small_audit();
}

TEST(a_damaged_bin_is_found_by_the_audit)
{
    pim_raw_free(NULL, pim_raw_malloc(NULL, 100));
    pim_raw_block *block = pim_raw_mine.cache->bin[pim_size_class(100)];
    size_t room = block->room;
    block->room = room + 3;
    core_expect_fatal(audit, NULL, "RAW-2");
    block->room = room;
    pim_raw_small_audit();
}

TEST(an_address_is_known_as_the_processs)
{
    char *p = pim_raw_malloc(NULL, 100);
    char *q = pim_raw_malloc(NULL, 100000);
    int64_t id = 5;
    EXPECT(pim_heap_find_owner(p + 99, &id));
    EXPECT_EQ(id, PIM_PROCESS_ID);
    id = 5;
    EXPECT(pim_heap_find_owner(q, &id));
    EXPECT_EQ(id, PIM_PROCESS_ID);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
}

SUITE(.set_up = core_set_up)
