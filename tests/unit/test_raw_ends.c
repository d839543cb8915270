// test_raw_ends.c -- what becomes of an interpreter's raw blocks when it ends, and of
// the block that it lies in itself; forks, and misuse.

#define _GNU_SOURCE

#include "domain/raw_small.h"
#include "heap/audit.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/raw_world.h"

static fake_interp *const a = &raw_world.a;
static fake_interp *const b = &raw_world.b;

// --- ends --------------------------------------------------------------------

TEST(what_an_interpreter_leaves_is_the_processs_and_can_be_freed)
{
    int64_t id = a->state->id;
    uint64_t bytes = raw_allocate_all();
    raw_end_interp(a);
    pim_figures left = fake_figures(id);
    EXPECT(left.ended);
    EXPECT_EQ(left.by_domain[RAW].live_bytes, bytes);
    EXPECT_EQ(left.by_domain[RAW].live_blocks, RAW_BLOCKS);
    raw_expect(raw_of(PIM_PROCESS_ID), raw_world.process.bytes + bytes,
               raw_world.process.blocks + RAW_BLOCKS);
    fake_interp_swap(b);
    raw_free_all();
    raw_expect(raw_of_interp(b), 0, 0);
    raw_expect_process_as_before();
}

// The next interpreter gets the record, and is not taken for the one before.
TEST(a_late_free_is_not_in_the_account_of_who_has_the_record_now)
{
    fake_interp next;
    uint64_t bytes = raw_allocate_all();
    const pim_heap *heap = fake_current_heap();
    raw_end_interp(a);
    fake_interp_begin(&next, core_next_id());
    raw_world.process.bytes += pim_large_usable(next.block);
    raw_world.process.blocks++;
    raw_be_born(&next);
    EXPECT_EQ((uintptr_t)fake_current_heap(), (uintptr_t)heap);
    void *p = pim_raw_malloc(NULL, 100);
    raw_expect(raw_of(PIM_PROCESS_ID), raw_world.process.bytes + bytes,
               raw_world.process.blocks + RAW_BLOCKS);
    raw_free_all();
    raw_expect_process_as_before();
    raw_expect(raw_of(next.state->id), 112, 1);
    pim_raw_free(NULL, p);
    fake_interp_swap(NULL);
    fake_interp_end(&next);
}

TEST(a_reclaimer_allocates_between_raw_orphans)
{
    enum { BLOCKS = 4000, KEPT_OF = 40 };
    static void *many[BLOCKS];
    static void *own[BLOCKS];
    core_fill(PIM_RAW, many, BLOCKS, 1000);
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (i % KEPT_OF != 0) {
            pim_raw_free(NULL, many[i]);
        }
    }
    raw_end_interp(a);
    uint64_t abandoned = fake_figures(PIM_PROCESS_ID).arenas;
    EXPECT_GT(abandoned, 0);
    fake_interp_swap(b);
    core_fill(PIM_RAW, own, BLOCKS, 1000);
    EXPECT_LT(fake_figures(PIM_PROCESS_ID).arenas, abandoned);
    EXPECT_EQ(raw_of_interp(b).blocks, BLOCKS);
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks,
              raw_world.process.blocks + BLOCKS / KEPT_OF);
    core_free_all(PIM_RAW, own, BLOCKS);
    raw_expect(raw_of_interp(b), 0, 0);
    for (unsigned i = 0; i < BLOCKS; i += KEPT_OF) {
        pim_raw_free(NULL, many[i]);
    }
    raw_expect_process_as_before();
    raw_audit(b);
}

// An interpreter's state may be a block of who created it.
TEST(an_interpreter_ends_with_a_block_that_is_anothers)
{
    fake_interp made;
    fake_interp_begin(&made, core_next_id()); // by a
    int64_t id = made.state->id;
    EXPECT_EQ(raw_of_interp(a).blocks, 1);
    raw_be_born(&made);
    void *p = pim_raw_malloc(NULL, 100);
    fake_interp_end(&made);
    EXPECT(fake_figures(id).ended);
    EXPECT_EQ(raw_of_interp(a).blocks, 0);
    fake_interp_swap(a);
    pim_raw_free(NULL, p);
    raw_expect_process_as_before();
}

TEST(an_interpreter_outlives_the_one_whose_block_it_lies_in)
{
    fake_interp made;
    fake_interp_begin(&made, core_next_id());
    raw_be_born(&made);
    int64_t id = made.state->id;
    raw_end_interp(a);
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, raw_world.process.blocks + 1);
    EXPECT(!fake_figures(id).ended);
    fake_interp_end(&made);
    EXPECT(fake_figures(id).ended);
    raw_expect_process_as_before();
}

// Also if the one that made it frees it under its own thread state.
TEST(the_owners_free_of_a_state_is_an_end_too)
{
    fake_interp made;
    fake_interp_begin(&made, core_next_id());
    raw_be_born(&made);
    int64_t id = made.state->id;
    fake_interp_swap(a);
    pim_raw_free(NULL, fake_interp_forget(&made));
    EXPECT(fake_figures(id).ended);
    EXPECT_EQ(raw_of_interp(a).blocks, 0);
}

// --- fork --------------------------------------------------------------------

static void
go_on_in_child(void *arg)
{
    (void)arg;
    raw_usage before = raw_of_interp(a);
    raw_free_all();
    EXPECT_EQ(raw_of_interp(a).blocks, before.blocks - RAW_BLOCKS);
    uint64_t bytes = raw_allocate_all();
    raw_expect(raw_of_interp(a), bytes, RAW_BLOCKS);
    fake_interp_swap(NULL);
    raw_free_all();
    raw_expect(raw_of_interp(a), 0, 0);
    fake_interp_swap(a);
    pim_heap_audit(fake_current_heap());
    pim_raw_small_audit();
}

TEST(a_forked_child_goes_on_with_its_interpreter)
{
    char text[1024];
    uint64_t bytes = raw_allocate_all();
    int status = core_in_child(go_on_in_child, NULL, text, sizeof(text));
    print_message("%s", text);
    EXPECT_EQ(status, 0);
    raw_expect(raw_of_interp(a), bytes, RAW_BLOCKS);
    raw_free_all();
}

// --- misuse ------------------------------------------------------------------

static void
free_of_mem(void *arg)
{
    (void)arg;
    pim_raw_free(NULL, pim_mem_malloc(NULL, 100));
}

static void
free_of_obj(void *arg)
{
    (void)arg;
    pim_raw_free(NULL, pim_obj_malloc(NULL, 3000));
}

static void
realloc_of_mem(void *arg)
{
    (void)arg;
    pim_raw_realloc(NULL, pim_mem_malloc(NULL, 100), 200);
}

static void
free_of_nothing(void *arg)
{
    (void)arg;
    void *p = pim_raw_malloc(NULL, 30000);
    char *unused = (char *)pim_page_start(pim_page_of(p)) + PIM_ARENA_SIZE / 2;
    pim_raw_free(NULL, unused);
}

TEST(blocks_of_other_domains_are_refused)
{
    core_expect_fatal(free_of_mem, NULL, "raw free of a block that is not raw");
    core_expect_fatal(free_of_obj, NULL, "raw free of a block that is not raw");
    core_expect_fatal(realloc_of_mem, NULL,
                      "raw realloc of a block that is not raw");
    core_expect_fatal(free_of_nothing, NULL,
                      "raw free of a block that is not raw");
}

SUITE(.set_up = core_set_up, .begin = raw_world_begin, .end = raw_world_end)
