// test_walk.c -- a walk visits what is live, and nothing else.

#include "abandoned/poison.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "interp/retire.h"
#include "interp/walk.h"
#include "support/census.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"

#define LARGE (3 * PIM_SPAN_MAX)
#define BLOCK 48
#define N 500 // blocks of several pages

static fake_interp interp;
static fake_interp other;
static pim_heap *heap; // of `interp`

static int
begin(void **state)
{
    (void)state;
    fake_interp_begin(&interp, core_next_id());
    fake_interp_begin(&other, core_next_id());
    fake_interp_swap(&interp);
    heap = fake_current_heap();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    census_expect_figures(heap, interp.state->id);
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
    fake_interp_end(&other);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    return 0;
}

// --- one block ---------------------------------------------------------------

typedef struct sought {
    const void *address;
    unsigned times;
    pim_found found;
} sought;

static int
seek(void *arg, const pim_found *found)
{
    sought *s = arg;
    if (found->address == s->address) {
        s->times++;
        s->found = *found;
    }
    return 0;
}

static sought
look_for(const void *address)
{
    sought s = {.address = address};
    EXPECT_EQ(pim_walk_heap(heap, seek, &s), 0);
    return s;
}

static void
expect_found_as(const void *address, unsigned domain, unsigned size_class,
                size_t bytes)
{
    sought s = look_for(address);
    EXPECT_EQ(s.times, 1);
    EXPECT_EQ(s.found.domain, domain);
    EXPECT_EQ(s.found.size_class, size_class);
    EXPECT_EQ(s.found.bytes, bytes);
}

TEST(each_kind_of_block_is_found_where_it_is)
{
    void *small = pim_obj_malloc(NULL, BLOCK);
    void *medium = pim_mem_malloc(NULL, PIM_SMALL_MAX);
    void *span = pim_mem_malloc(NULL, 5 * PIM_UNIT_SIZE - 1);
    void *map = pim_obj_malloc(NULL, LARGE);
    fake_os_fail(FAKE_MAP, 1, true);
    void *of_mi = pim_mem_malloc(NULL, LARGE);
    fake_os_heal();
    void *raw = pim_raw_malloc(NULL, BLOCK);
    void *raw_medium = pim_raw_malloc(NULL, PIM_SMALL_MAX);
    void *raw_large = pim_raw_malloc(NULL, PIM_SMALL_MAX + 1);
    void *raw_map = pim_raw_malloc(NULL, LARGE);
    EXPECT(fake_mi_live_blocks() != 0);
    expect_found_as(small, PIM_OBJ, pim_size_class(BLOCK), BLOCK);
    expect_found_as(medium, PIM_MEM, PIM_CLASSES - 1, PIM_SMALL_MAX);
    expect_found_as(span, PIM_MEM, PIM_WALK_SPAN, 5 * PIM_UNIT_SIZE);
    expect_found_as(map, PIM_OBJ, PIM_WALK_LARGE, pim_large_usable(map));
    expect_found_as(of_mi, PIM_MEM, PIM_WALK_LARGE, pim_large_usable(of_mi));
    expect_found_as(raw, PIM_RAW, pim_size_class(BLOCK), BLOCK);
    expect_found_as(raw_medium, PIM_RAW, PIM_CLASSES - 1, PIM_SMALL_MAX);
    expect_found_as(raw_large, PIM_RAW, PIM_WALK_LARGE,
                    pim_large_usable(raw_large));
    expect_found_as(raw_map, PIM_RAW, PIM_WALK_LARGE,
                    pim_large_usable(raw_map));
    census_expect_figures(heap, interp.state->id);
    pim_raw_free(NULL, raw);
    pim_raw_free(NULL, raw_medium);
    pim_raw_free(NULL, raw_large);
    pim_raw_free(NULL, raw_map);
    EXPECT_EQ(look_for(raw_large).times, 0);
    pim_obj_free(NULL, small);
    pim_mem_free(NULL, medium);
    pim_mem_free(NULL, span);
    pim_obj_free(NULL, map);
    pim_mem_free(NULL, of_mi);
    EXPECT_EQ(look_for(map).times, 0);
    EXPECT_EQ(look_for(span).times, 0); // it is kept, but free
}

TEST(large_block_that_moves_when_it_grows_is_found_once)
{
    char *p = pim_mem_malloc(NULL, LARGE);
    for (size_t size = LARGE; size < 30 * LARGE; size += size / 4) {
        p = pim_mem_realloc(NULL, p, size);
        EXPECT_EQ(look_for(p).times, 1);
        census_expect_figures(heap, interp.state->id);
    }
    fake_os_fail(FAKE_MAP | FAKE_REMAP, 1, true);
    fake_mi_fail(1, true);
    EXPECT_NULL(pim_mem_realloc(NULL, p, 100 * LARGE));
    fake_os_heal();
    fake_mi_heal();
    EXPECT_EQ(look_for(p).times, 1);
    pim_mem_free(NULL, p);
}

// --- many ----------------------------------------------------------------------

TEST(what_is_free_is_not_visited_whoever_freed_it)
{
    static void *blocks[N];
    uint64_t sum = 0;
    core_fill(PIM_OBJ, blocks, N, BLOCK);
    for (unsigned i = 0; i < N; i += 3) {
        pim_obj_free(NULL, blocks[i]);
    }
    fake_interp_swap(&other);
    for (unsigned i = 1; i < N; i += 3) {
        pim_obj_free(NULL, blocks[i]);
    }
    fake_interp_swap(&interp);
    for (unsigned i = 2; i < N; i += 3) {
        sum += (uintptr_t)blocks[i];
    }
    census c = {.stop_after = 0};
    EXPECT_EQ(census_take(heap, &c), 0);
    EXPECT_EQ(c.blocks[PIM_OBJ], N / 3);
    EXPECT_EQ(c.address_sum, sum);
    census_expect_figures(heap, interp.state->id);
    for (unsigned i = 2; i < N; i += 3) {
        pim_obj_free(NULL, blocks[i]);
    }
}

TEST(visitor_ends_the_walk)
{
    void *small[3];
    void *large[3];
    for (unsigned i = 0; i < 3; i++) {
        small[i] = pim_obj_malloc(NULL, BLOCK);
        large[i] = pim_obj_malloc(NULL, LARGE);
    }
    for (unsigned after = 1; after <= 6; after++) {
        census c = {.stop_after = after};
        EXPECT_EQ(census_take(heap, &c), 7);
        EXPECT_EQ(c.blocks[PIM_OBJ], after);
    }
    census c = {.stop_after = 7};
    EXPECT_EQ(census_take(heap, &c), 0);
    for (unsigned i = 0; i < 3; i++) {
        pim_obj_free(NULL, small[i]);
        pim_obj_free(NULL, large[i]);
    }
}

// --- what ended interpreters left ------------------------------------------------

static void *left[N];
static void *large_left;

// `other` ends and leaves half of its blocks.
static void
leave(void)
{
    fake_interp_swap(&other);
    core_fill(PIM_OBJ, left, N, BLOCK);
    large_left = pim_mem_malloc(NULL, LARGE);
    for (unsigned i = 0; i < N; i += 2) {
        pim_obj_free(NULL, left[i]);
    }
    fake_interp_swap(NULL);
    fake_interp_end(&other);
    fake_interp_begin(&other, core_next_id());
    fake_interp_swap(&interp);
}

static void
free_left(void)
{
    for (unsigned i = 1; i < N; i += 2) {
        pim_obj_free(NULL, left[i]);
    }
    pim_mem_free(NULL, large_left);
}

TEST(orphans_are_the_process_s_wherever_they_lie)
{
    uint64_t before = fake_figures(PIM_PROCESS_ID).by_domain[1].live_blocks;
    void *mine[N];
    leave();
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    for (unsigned i = 0; i < N; i++) { // between the orphans
        mine[i] = pim_obj_malloc(NULL, BLOCK);
    }
    bool tagged;
    EXPECT_PTR_EQ(pim_page_owner(pim_page_of(left[1]), &tagged), heap);
    EXPECT(tagged);
    census c = {.stop_after = 0};
    EXPECT_EQ(census_take(heap, &c), 0);
    EXPECT_EQ(c.blocks[PIM_OBJ], N);
    EXPECT_EQ(c.blocks[PIM_MEM], 0);
    EXPECT_EQ(census_take(&pim_process_heap, &c), 0);
    EXPECT_EQ(c.blocks[PIM_OBJ], before + N / 2);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    core_free_all(PIM_OBJ, mine, N);
    free_left();
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
}

TEST(orphan_that_others_free_is_gone_before_its_page_s_owner_collects)
{
    leave();
    void *mine = pim_obj_malloc(NULL, BLOCK); // reclaims
    fake_interp_swap(&other);
    free_left();
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    fake_interp_swap(&interp);
    census_expect_figures(heap, interp.state->id);
    pim_obj_free(NULL, mine);
}

TEST(blocks_without_a_thread_state_are_the_process_s)
{
    fake_interp_swap(NULL);
    void *small = pim_obj_malloc(NULL, BLOCK);
    void *span = pim_mem_malloc(NULL, 3 * PIM_UNIT_SIZE);
    void *large = pim_mem_malloc(NULL, LARGE);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    EXPECT_GT(fake_figures(PIM_PROCESS_ID).by_domain[0].live_blocks, 1);
    pim_obj_free(NULL, small);
    pim_mem_free(NULL, span);
    pim_mem_free(NULL, large);
    fake_interp_swap(&interp);
}

// --- the end of an interpreter -----------------------------------------------------

static census seen;
static int64_t seen_id;
static unsigned told;

static void *
look(pim_heap *ending)
{
    seen_id = ending->id;
    seen.stop_after = 0;
    EXPECT_EQ(census_take(ending, &seen), 0);
    return &seen;
}

static void
tell(void *what)
{
    EXPECT_PTR_EQ(what, &seen);
    EXPECT(!pim_gate_is_inside());
    // The end is complete: the blocks are the process's, and late frees work.
    EXPECT(fake_figures(seen_id).ended);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    told++;
}

TEST(watch_sees_what_is_left_and_tells_when_no_lock_is_held)
{
    static const pim_end_watch watch = {look, tell};
    int64_t id = other.state->id;
    told = 0;
    pim_store_release(&pim_end_watcher, &watch);
    leave();
    EXPECT_EQ(told, 1);
    EXPECT_EQ(seen_id, id);
    EXPECT_EQ(seen.blocks[PIM_OBJ], N / 2);
    EXPECT_EQ(seen.bytes[PIM_OBJ], N / 2 * BLOCK);
    EXPECT_EQ(seen.blocks[PIM_MEM], 1);
    EXPECT_EQ(seen.bytes[PIM_MEM], pim_large_usable(large_left));

    // What a reclaimer leaves in turn is without what was left to it.
    void *mine = pim_obj_malloc(NULL, BLOCK);
    bool tagged;
    pim_page_owner(pim_page_of(mine), &tagged);
    EXPECT(tagged);
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
    EXPECT_EQ(told, 2);
    EXPECT_EQ(seen.blocks[PIM_OBJ], 1);
    EXPECT_EQ(seen.blocks[PIM_MEM], 0);
    pim_store_release(&pim_end_watcher, NULL);
    fake_interp_begin(&interp, core_next_id());
    fake_interp_swap(&interp);
    heap = fake_current_heap();
    pim_obj_free(NULL, mine);
    free_left();
}

TEST(what_is_poisoned_or_released_is_not_visited)
{
    static const int policies[] = {PIM_POISON, PIM_RELEASE};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(policies); i++) {
        census before = {.stop_after = 0};
        census after = {.stop_after = 0};
        EXPECT_EQ(census_take(&pim_process_heap, &before), 0);
        pim_store_relaxed(&pim_policy_of_new, policies[i]);
        leave();
        pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
        EXPECT_EQ(census_take(&pim_process_heap, &after), 0);
        EXPECT_EQ(after.blocks[PIM_OBJ], before.blocks[PIM_OBJ]);
        EXPECT_EQ(after.blocks[PIM_MEM], before.blocks[PIM_MEM]);
        census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    }
}

// --- damage ----------------------------------------------------------------------

static void
walk_damaged(void *arg)
{
    EXPECT_NOT_NULL(pim_obj_malloc(NULL, BLOCK)); // what is to be visited
    void *a = pim_obj_malloc(NULL, BLOCK);
    void *b = pim_obj_malloc(NULL, BLOCK);
    EXPECT_NOT_NULL(
        pim_obj_malloc(NULL, BLOCK)); // so that the page is looked at
    pim_obj_free(NULL, a);
    pim_obj_free(NULL, b);
    *(void **)b = arg; // a use after the free
    census c = {.stop_after = 0};
    census_take(heap, &c);
}

static void
walk_circle(void *arg)
{
    (void)arg;
    EXPECT_NOT_NULL(pim_obj_malloc(NULL, BLOCK)); // what is to be visited
    void *a = pim_obj_malloc(NULL, BLOCK);
    EXPECT_NOT_NULL(pim_obj_malloc(NULL, BLOCK));
    pim_obj_free(NULL, a);
    *(void **)a = a;
    census c = {.stop_after = 0};
    census_take(heap, &c);
}

TEST(walk_of_a_damaged_free_list_says_so)
{
    static char elsewhere[64];
    core_expect_fatal(walk_damaged, elsewhere,
                      "a list of free blocks was written into");
    core_expect_fatal(walk_circle, NULL, "a list of free blocks is circular");
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)
