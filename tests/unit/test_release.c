// test_release.c -- interpreters whose orphans are released, and raw blocks, which
// are kept.

#include "abandoned/poison_extent.h"
#include "domain/domain.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "support/census.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/orphans.h"

static int
begin(void **state)
{
    (void)state;
    return orphans_begin(PIM_RELEASE);
}

static int
begin_poison(void **state)
{
    (void)state;
    return orphans_begin(PIM_POISON);
}

// --- raw -------------------------------------------------------------------

static char *raw_left[3]; // in a page, of mimalloc, in a map

static void
leave_raw_blocks(void)
{
    static const size_t sizes[] = {48, PIM_SMALL_MAX + 1, HUGE};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        raw_left[i] = left(pim_raw_malloc(NULL, sizes[i]), sizes[i]);
    }
}

static void
raw_is_kept(void)
{
    leave_orphans();
    leave_raw_blocks();
    uint64_t bytes = fake_figures(id).by_domain[RAW].live_bytes;
    end_interp();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[RAW].live_blocks,
              process.by_domain[RAW].live_blocks + 3);
    EXPECT_EQ(now.by_domain[RAW].live_bytes,
              process.by_domain[RAW].live_bytes + bytes);
    EXPECT_EQ(now.by_domain[OBJ].live_bytes, process.by_domain[OBJ].live_bytes);
    EXPECT_EQ(now.by_domain[MEM].live_blocks,
              process.by_domain[MEM].live_blocks);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    trim_process();
    for (unsigned i = 0; i < PIM_ARRAY_LEN(raw_left); i++) {
        EXPECT_EQ(raw_left[i][0], 'x');
        EXPECT_EQ(raw_left[i][47], 'x');
        pim_raw_free(NULL, raw_left[i]);
    }
    fake_expect_accounts(&process);
}

TEST(raw_blocks_of_a_released_interpreter_are_kept)
{
    raw_is_kept();
    trim_process();
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
}

TEST_WITH(raw_blocks_of_a_poisoned_interpreter_are_kept, begin_poison,
          orphans_end)
{
    raw_is_kept();
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 4);
    free_orphans();
}

// --- release ---------------------------------------------------------------

TEST(released_interpreter_leaves_no_memory)
{
    uint64_t released = pim_load_relaxed(&pim_poisoned.released_blocks);
    leave_orphans();
    end_interp();
    fake_expect_accounts(&process);
    trim_process();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.arenas, process.arenas);
    EXPECT_EQ(now.pages, process.pages);
    EXPECT_EQ(now.committed_bytes, process.committed_bytes);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.released_blocks), released + 4);
}

TEST(figures_of_a_released_interpreter_say_what_it_left)
{
    leave_orphans();
    end_interp();
    pim_figures f = fake_figures(id);
    EXPECT(f.ended);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 2);
    EXPECT_EQ(f.by_domain[MEM].live_blocks, 2);
    EXPECT_GE(f.by_domain[OBJ].live_bytes, HUGE + 48);
    EXPECT_EQ(f.arenas, 0);
}

TEST(large_blocks_of_mimalloc_are_released)
{
    uint64_t before = fake_mi_live_blocks();
    fake_os_fail(FAKE_MAP, 1, true);
    EXPECT_NOT_NULL(pim_mem_malloc(NULL, HUGE));
    fake_os_heal();
    EXPECT_EQ(fake_mi_live_blocks(), before + 1);
    end_interp();
    EXPECT_EQ(fake_mi_live_blocks(), before - 1); // its state is gone, too
    fake_expect_accounts(&process);
}

static void
free_it(void *block)
{
    pim_obj_free(NULL, block);
}

TEST(late_free_of_a_released_block_is_fatal)
{
    leave_orphans();
    end_interp();
    core_expect_fatal(free_it, leak.small, "not a live block");
}

// Blocks of others, which are to be kept, in a page that it reclaimed.
TEST(what_others_left_in_its_pages_stays)
{
    fake_interp kept;
    end_interp();
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    begin_under(&kept, PIM_KEEP);
    static char *blocks[200];
    for (unsigned i = 0; i < 200; i++) {
        blocks[i] = left(pim_obj_malloc(NULL, 48), 48);
    }
    for (unsigned i = 0; i < 200; i += 2) {
        pim_obj_free(NULL, blocks[i]);
    }
    fake_interp_stop(&kept);

    orphans_begin(PIM_RELEASE);
    leave_orphans();
    // Not to be kept, it takes over no such page ...
    EXPECT_EQ(pim_page_of(leak.small) == pim_page_of(blocks[1]), 0);
    end_interp();
    for (unsigned i = 1; i < 200; i += 2) {
        EXPECT_EQ(blocks[i][47], 'x');
    }
    // ... and one that learned of it later keeps such a page whole.
    begin_under(&interp, PIM_KEEP);
    EXPECT_EQ(pim_registry_set_policy(interp.state->id, PIM_RELEASE), 0);
    end_interp();
    for (unsigned i = 1; i < 200; i += 2) {
        EXPECT_EQ(blocks[i][0], 'x');
        pim_obj_free(NULL, blocks[i]);
    }
    process = before;
    fake_expect_accounts(&process);
}

// A reclaimer that became one of those that are not kept: others' blocks and its own
// are in one page.
TEST(pages_reclaimed_before_the_policy_was_set_are_kept_whole)
{
    fake_interp first;
    end_interp();
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    begin_under(&first, PIM_KEEP);
    char *theirs = left(pim_obj_malloc(NULL, 48), 48);
    fake_interp_stop(&first);

    begin_under(&interp, PIM_KEEP);
    char *own = left(pim_obj_malloc(NULL, 48), 48);
    EXPECT_PTR_EQ(pim_page_of(own), pim_page_of(theirs));
    char *elsewhere = left(pim_obj_malloc(NULL, 480), 480);
    EXPECT_EQ(pim_registry_set_policy(interp.state->id, PIM_RELEASE), 0);
    end_interp();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              before.by_domain[OBJ].live_blocks + 2);
    EXPECT_EQ(theirs[47], 'x');
    EXPECT_EQ(own[47], 'x');
    pim_obj_free(NULL, theirs);
    pim_obj_free(NULL, own);
    core_expect_fatal(free_it, elsewhere, "not a live block");
    now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              before.by_domain[OBJ].live_blocks);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = orphans_end)
