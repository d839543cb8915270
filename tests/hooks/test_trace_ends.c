// test_trace_ends.c -- what becomes of a trace when interpreters end, pages run
// empty, and processes fork.

#include <string.h>

#include "hooks/records.h"
#include "hooks/side.h"
#include "hooks/stage.h"
#include "support/raw_world.h"

#define MANY 40000

static fake_interp guest;
static int64_t id;
static void *blocks[MANY];

static int
begin(void **state)
{
    (void)state;
    EXPECT_EQ(pimalloc_trace_start(PIMALLOC_EACH, 1), 0);
    fake_interp_start(&guest);
    id = guest.state->id;
    return 0;
}

static int
end(void **state)
{
    (void)state;
    if (guest.state != NULL) {
        fake_interp_stop(&guest);
    }
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    EXPECT_EQ(stage_figures(PIMALLOC_EACH).table_bytes, 0);
    return 0;
}

static void
use_next(void)
{
    fake_interp_stop(&guest);
    fake_interp_start(&guest);
    id = guest.state->id;
}

// --- ends --------------------------------------------------------------------

TEST(what_an_interpreter_leaves_is_the_process_s)
{
    void *p = pim_obj_malloc(NULL, 100);
    void *q = pim_mem_malloc(NULL, 200000);
    void *r = pim_obj_malloc(NULL, 3000000);
    stage_expect_walk(id, 3, 3200100);
    int64_t left = id;
    use_next();
    stage_expect_live(left, 0, 0);
    stage_expect_walk(PIM_PROCESS_ID, 4, 3200100 + FAKE_STATE_BLOCK);
    EXPECT_EQ(stage_find(p).interp, PIM_PROCESS_ID);
    EXPECT_EQ(stage_find(q).interp, PIM_PROCESS_ID);
    EXPECT_EQ(stage_find(r).interp, PIM_PROCESS_ID);
    pim_obj_free(NULL, p);
    pim_mem_free(NULL, q);
    r = pim_obj_realloc(NULL, r, 100);
    EXPECT_EQ(stage_find(r).interp, id);
    pim_obj_free(NULL, r);
    stage_expect_live(id, 0, 0);
    stage_expect_walk(PIM_PROCESS_ID, 1, FAKE_STATE_BLOCK);
}

// Their pages have orphans of one, and blocks of the other.
TEST(who_reclaims_a_page_leaves_the_orphans_records)
{
    for (unsigned i = 0; i < 2000; i++) {
        blocks[i] = pim_obj_malloc(NULL, 100);
    }
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 10 != 0) {
            pim_obj_free(NULL, blocks[i]);
        }
    }
    use_next();
    unsigned reclaimed = 0;
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 10 != 0) {
            blocks[i] = pim_obj_malloc(NULL, 99);
            bool tagged;
            pim_page_owner(pim_page_of(blocks[i]), &tagged);
            reclaimed += tagged;
        }
    }
    EXPECT_GT(reclaimed, 0);
    stage_expect_walk(id, 1800, 1800 * 99);
    stage_expect_walk(PIM_PROCESS_ID, 201, 200 * 100 + FAKE_STATE_BLOCK);
    for (unsigned i = 0; i < 2000; i++) {
        EXPECT_EQ(stage_find(blocks[i]).interp,
                  i % 10 == 0 ? PIM_PROCESS_ID : id);
        pim_obj_free(NULL, blocks[i]);
    }
    stage_expect_live(id, 0, 0);
    stage_expect_walk(PIM_PROCESS_ID, 1, FAKE_STATE_BLOCK);
}

// The page is its new owner's all the same, which shows when the last orphan goes.
TEST(an_orphan_is_resized_in_place)
{
    for (unsigned i = 0; i < 2000; i++) {
        blocks[i] = pim_obj_malloc(NULL, 100);
    }
    for (unsigned i = 1; i < 2000; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
    char *orphan = blocks[0];
    use_next();
    bool tagged = false;
    unsigned n = 0;
    while (!tagged && n < MANY) {
        blocks[n] = pim_obj_malloc(NULL, 99);
        pim_page_owner(pim_page_of(blocks[n++]), &tagged);
    }
    EXPECT(tagged);
    EXPECT_PTR_EQ(pim_obj_realloc(NULL, orphan, 101), orphan);
    EXPECT_EQ(stage_find(orphan).bytes, 101);
    EXPECT_EQ(stage_find(orphan).interp, PIM_PROCESS_ID);
    pim_obj_free(NULL, orphan);
    stage_expect_live(id, n, n * 99);
    blocks[n++] = pim_obj_malloc(NULL, 99);
    stage_expect_live(id, n, n * 99);
    for (unsigned i = 0; i < n; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
    stage_expect_live(id, 0, 0);
}

static void
end_with(int policy)
{
    const void *first = pim_obj_malloc(NULL, 100);
    EXPECT_EQ(pim_registry_set_policy(id, policy), 0);
    (void)pim_mem_malloc(NULL, 200000);
    (void)pim_obj_malloc(NULL, 3000000);
    int64_t left = id;
    use_next();
    stage_expect_live(left, 0, 0);
    stage_expect_walk(PIM_PROCESS_ID, 1, FAKE_STATE_BLOCK);
    // Its units serve the next one.
    const char *again = NULL;
    for (unsigned i = 0; i < MANY && again == NULL; i++) {
        blocks[i] = pim_obj_malloc(NULL, 100);
        again = blocks[i] == first ? blocks[i] : NULL;
        stage_expect_walk(id, i + 1, (i + 1) * 100);
        if (policy == PIM_POISON && i == 200) {
            break;
        }
    }
    EXPECT(again != NULL || policy == PIM_POISON);
}

TEST(what_is_released_is_forgotten)
{
    end_with(PIM_RELEASE);
}

TEST(what_is_poisoned_is_forgotten)
{
    end_with(PIM_POISON);
}

TEST(a_trace_of_one_ends_with_it)
{
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    EXPECT_EQ(pimalloc_trace_start(id, 1), 0);
    void *p = pim_obj_malloc(NULL, 100);
    EXPECT(stage_is_traced(p));
    use_next();
    EXPECT(!stage_is_traced(p));
    stage_expect_live(PIMALLOC_EACH, 0, 0);
    pim_obj_free(NULL, p);
    EXPECT_EQ(pimalloc_trace_start(PIMALLOC_EACH, 1), 0);
}

// --- tables ------------------------------------------------------------------

static void
fill_and_empty(size_t size)
{
    for (unsigned i = 0; i < MANY; i++) {
        blocks[i] = pim_obj_malloc(NULL, size);
    }
    stage_expect_live(id, MANY, MANY * size);
    EXPECT_GE(pim_side_bytes(), MANY * sizeof(uint64_t));
    EXPECT_LT(pim_side_bytes(), 2 * MANY * sizeof(uint64_t) + (1 << 20));
    for (unsigned i = 0; i < MANY; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
}

TEST(records_of_pages_that_ran_empty_go)
{
    fill_and_empty(64);
    EXPECT_GE(pim_side_bytes(), MANY * sizeof(uint64_t));
    for (unsigned i = 0; i < 2 * 65536; i++) {
        pim_obj_free(NULL, pim_obj_malloc(NULL, 32));
    }
    EXPECT_LT(pim_side_bytes(), 65536);
}

TEST(those_of_spans_and_large_blocks_go_at_once)
{
    uint64_t before = pim_side_bytes();
    for (unsigned i = 0; i < 3000; i++) {
        blocks[i] = pim_obj_malloc(NULL, i % 100 == 0 ? 2000000 : 40000);
    }
    EXPECT_GE(pim_side_bytes(), before + 3000 * sizeof(pim_record));
    for (unsigned i = 0; i < 3000; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
    EXPECT_LE(pim_side_bytes(), before + 65536);
}

TEST(those_of_ended_interpreters_go)
{
    fill_and_empty(64);
    use_next();
    EXPECT_LT(pim_side_bytes(), 65536);
    for (unsigned i = 0; i < MANY; i++) { // and where it left much
        blocks[i] = pim_obj_malloc(NULL, 64);
    }
    EXPECT_EQ(pim_registry_set_policy(id, PIM_RELEASE), 0);
    use_next();
    EXPECT_LT(pim_side_bytes(), 65536);
    stage_expect_live(id, 0, 0);
}

// A page that holds a block keeps its records, whoever else is swept.
TEST(those_of_pages_in_use_stay)
{
    for (unsigned i = 0; i < MANY; i++) {
        blocks[i] = pim_obj_malloc(NULL, 64);
    }
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 200 != 0) {
            pim_obj_free(NULL, blocks[i]);
        }
    }
    pim_records_sweep(pim_current_owner());
    stage_expect_live(id, MANY / 200, MANY / 200 * 64);
    for (unsigned i = 0; i < MANY; i += 200) {
        EXPECT_EQ(stage_find(blocks[i]).bytes, 64);
        pim_obj_free(NULL, blocks[i]);
    }
    stage_expect_live(id, 0, 0);
}

// --- forks -------------------------------------------------------------------

static void
trace_in_child(void *arg)
{
    void **p = arg;
    EXPECT_EQ(stage_find(*p).bytes, 100);
    void *q = pim_obj_malloc(NULL, 50);
    stage_expect_walk(id, 2, 150);
    pim_obj_free(NULL, *p);
    pim_obj_free(NULL, q);
    stage_expect_live(id, 0, 0);
    EXPECT_EQ(pimalloc_trace_clear(PIMALLOC_EACH), 0);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    EXPECT_EQ(pimalloc_trace_start(id, 1), 0);
}

TEST(a_child_goes_on_with_its_own)
{
    char text[1000];
    void *p = pim_obj_malloc(NULL, 100);
    EXPECT_EQ(core_in_child(trace_in_child, &p, text, sizeof(text)), 0);
    stage_expect_live(id, 1, 100);
    pim_obj_free(NULL, p);
}

SUITE(.set_up = stage_set_up, .begin = begin, .end = end)
