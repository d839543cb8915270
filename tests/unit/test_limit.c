// test_limit.c -- what a heap may serve: soft and hard limits, the reserve between.

#include <string.h>

#include "domain/birth.h"
#include "domain/domain.h"
#include "heap/alloc.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/interp_case.h"
#include "support/random.h"
#include "support/refusals.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (8 * MIB)
#define HARD (10 * MIB)
#define BLOCK 100
#define BLOCKS 200000

static void *blocks[BLOCKS];
static unsigned count;

static int
begin(void **state)
{
    count = 0;
    refusals = 0;
    return interp_case_begin(state);
}

static void
free_some(unsigned n)
{
    for (; n != 0; n--) {
        pim_obj_free(NULL, blocks[--count]);
    }
}

static int
end(void **state)
{
    free_some(count);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 0);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 0);
    return interp_case_end(state);
}

static uint64_t
live(void)
{
    pim_figures f = fake_figures(id);
    uint64_t sum = 0;
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        sum += f.by_domain[d].live_bytes;
    }
    return sum;
}

// Allocates until that is refused.
static void
fill(size_t size)
{
    void *block;
    while ((block = pim_obj_malloc(NULL, size)) != NULL) {
        memset(block, 1, size);
        EXPECT_LT(count, BLOCKS);
        blocks[count++] = block;
    }
}

TEST(large_request_above_soft_is_refused_and_changes_nothing)
{
    limit_heap(heap, SOFT, 0);
    blocks[count++] = pim_obj_malloc(NULL, 3 * MIB);
    uint64_t before = live();
    EXPECT_NULL(pim_mem_malloc(NULL, 6 * MIB));
    EXPECT_EQ(live(), before);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].peak_blocks, 0);
    EXPECT_EQ(refusals, 1);
    EXPECT_EQ(last_refusal.size, sizeof(last_refusal));
    EXPECT_EQ(last_refusal.interp, id);
    EXPECT_EQ(last_refusal.domain, PIM_MEM);
    EXPECT_EQ(last_refusal.is_hard, 0);
    EXPECT_EQ(last_refusal.bytes, 6 * MIB);
    EXPECT_EQ(last_refusal.live_bytes, live());
    EXPECT_EQ(last_refusal.soft_bytes, SOFT);
    EXPECT_EQ(last_refusal.hard_bytes, 0);
    EXPECT_EQ(last_refusal.refusals, 1);
    EXPECT_NULL(pim_mem_calloc(NULL, 3, 2 * MIB));
    EXPECT_EQ(last_refusal.refusals, 2);
    EXPECT_EQ(fake_limit(heap).refusals, 2);
    blocks[count++] = pim_obj_malloc(NULL, 4 * MIB);
    EXPECT_NOT_NULL(blocks[count - 1]);
}

TEST(requests_of_each_kind_are_reported_once)
{
    static const size_t sizes[] = {BLOCK,  5000,         PIM_SMALL_MAX,
                                   200000, PIM_SPAN_MAX, 2 * MIB};
    limit_heap(heap, 1, 1); // nothing at all
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        refusals = 0;
        EXPECT_NULL(pim_obj_malloc(NULL, sizes[i]));
        EXPECT_EQ(refusals, 1);
        EXPECT_EQ(last_refusal.is_hard, 1);
        EXPECT_GE(last_refusal.bytes, sizes[i]);
        EXPECT_LE(last_refusal.bytes, sizes[i] + PIM_UNIT_SIZE);
        EXPECT_NULL(pim_obj_calloc(NULL, 1, sizes[i]));
        EXPECT_EQ(refusals, 2);
    }
    EXPECT_EQ(live(), 0);
}

TEST(small_request_above_soft_is_refused_once_and_then_served_from_the_reserve)
{
    limit_heap(heap, SOFT, HARD);
    fill(BLOCK);
    EXPECT_EQ(refusals, 1);
    EXPECT_EQ(last_refusal.is_hard, 0);
    EXPECT_EQ(last_refusal.bytes, core_block_bytes(BLOCK));
    EXPECT_LE(live(), SOFT);
    EXPECT_GT(live() + core_block_bytes(BLOCK), SOFT);
    fill(BLOCK);
    EXPECT_EQ(refusals, 2);
    EXPECT_EQ(last_refusal.is_hard, 1);
    EXPECT_LE(live(), HARD);
    EXPECT_GT(live() + core_block_bytes(BLOCK), HARD);
}

TEST(large_requests_are_refused_while_small_ones_use_the_reserve)
{
    limit_heap(heap, SOFT, HARD);
    fill(BLOCK);
    EXPECT_NULL(pim_obj_malloc(NULL, PIM_SMALL_MAX + 1));
    EXPECT_NULL(pim_obj_malloc(NULL, MIB + 1));
    blocks[count++] = pim_obj_malloc(NULL, PIM_SMALL_MAX);
    EXPECT_NOT_NULL(blocks[count - 1]);
}

TEST(reserve_without_a_hard_limit_is_a_sixteenth_and_not_less_than_a_mebibyte)
{
    limit_heap(heap, SOFT, 0);
    fill(BLOCK);
    fill(BLOCK);
    EXPECT_LE(live(), SOFT + MIB);
    EXPECT_GT(live() + core_block_bytes(BLOCK), SOFT + MIB);
    EXPECT_EQ(last_refusal.is_hard, 0);
    free_some(count);
    limit_heap(heap, 4 * SOFT, 0);
    fill(10 * BLOCK);
    fill(10 * BLOCK);
    EXPECT_GT(live(), 4 * SOFT + SOFT / 4 - MIB);
    EXPECT_LE(live(), 4 * SOFT + SOFT / 4);
}

TEST(nothing_is_served_above_hard_in_any_class)
{
    // Every class of both domains has a page with free blocks.
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        size_t size = pim_classes[c].block_size;
        pim_obj_free(NULL, pim_obj_malloc(NULL, size));
        pim_mem_free(NULL, pim_mem_malloc(NULL, size));
        pim_raw_free(NULL, pim_raw_malloc(NULL, size));
    }
    limit_heap(heap, 0, HARD);
    fill(BLOCK);
    EXPECT_EQ(last_refusal.is_hard, 1);
    EXPECT_LE(live(), HARD);
    unsigned before = count;
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        size_t size = pim_classes[c].block_size;
        void *obj = pim_obj_malloc(NULL, size);
        if (obj != NULL) {
            blocks[count++] = obj;
        }
        void *mem = pim_mem_malloc(NULL, size);
        EXPECT_LE(live(), HARD);
        pim_mem_free(NULL, mem);
        void *raw = pim_raw_malloc(NULL, size);
        EXPECT_LE(live(), HARD);
        pim_raw_free(NULL, raw);
    }
    EXPECT_LE(count, before + 3); // the smallest may fit
    pim_heap_audit(heap);
}

TEST(lowered_limit_takes_current_pages_away_with_the_first_refusal)
{
    blocks[count++] = pim_obj_malloc(NULL, BLOCK);
    EXPECT_NOT_NULL(blocks[0]);
    limit_heap(heap, 1, 1);
    EXPECT_NULL(pim_obj_malloc(NULL, MIB));
    EXPECT_NULL(pim_obj_malloc(NULL, BLOCK));
    EXPECT_EQ(refusals, 2);
    pim_heap_audit(heap);
}

TEST(freed_memory_is_served_again_and_the_reserve_closes)
{
    limit_heap(heap, SOFT, HARD);
    for (unsigned round = 0; round < 3; round++) {
        refusals = 0;
        fill(BLOCK); // the one refusal at soft
        EXPECT_EQ(refusals, 1);
        EXPECT_EQ(last_refusal.is_hard, 0);
        EXPECT_LE(live(), SOFT);
        fill(BLOCK);
        EXPECT_GT(live(), SOFT);
        free_some(count / 2);
    }
}

TEST(a_little_freed_does_not_close_the_reserve)
{
    limit_heap(heap, SOFT, HARD);
    fill(BLOCK);
    free_some(100);
    refusals = 0;
    for (unsigned i = 0; i < 1000; i++) {
        blocks[count] = pim_obj_malloc(NULL, BLOCK);
        EXPECT_NOT_NULL(blocks[count++]);
    }
    EXPECT_EQ(refusals, 0);
}

// --- realloc -----------------------------------------------------------------

TEST(refused_growth_leaves_the_block_and_is_reported_once)
{
    static const size_t sizes[] = {BLOCK, 3000, 20000, 100000, 2 * MIB};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        limit_heap(heap, 0, 0);
        char *block = pim_mem_malloc(NULL, sizes[i]);
        memset(block, 'x', sizes[i]);
        uint64_t before = live();
        limit_heap(heap, before, before);
        refusals = 0;
        EXPECT_NULL(pim_mem_realloc(NULL, block, 2 * sizes[i]));
        EXPECT_EQ(refusals, 1);
        EXPECT_EQ(live(), before);
        EXPECT_EQ(block[0], 'x');
        EXPECT_EQ(block[sizes[i] - 1], 'x');
        pim_mem_free(NULL, block);
    }
}

TEST(map_grows_in_place_within_the_limit_that_a_copy_would_exceed)
{
    limit_heap(heap, SOFT, 0);
    char *block = pim_mem_malloc(NULL, BLOCK);
    for (size_t size = MIB; size <= 6 * MIB; size += MIB) {
        char *grown = pim_mem_realloc(NULL, block, size);
        EXPECT_NOT_NULL(grown);
        block = grown;
    }
    EXPECT_NULL(pim_mem_realloc(NULL, block, 9 * MIB));
    pim_mem_free(NULL, block);
}

TEST(shrinking_works_whatever_the_limit_and_frees_memory)
{
    static const size_t sizes[] = {400, 20000, 100000, MIB, 3 * MIB};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        limit_heap(heap, 0, 0);
        char *block = pim_mem_malloc(NULL, sizes[i]);
        memset(block, 'x', sizes[i]);
        limit_heap(heap, 1, 1);
        refusals = 0;
        block = pim_mem_realloc(NULL, block, BLOCK);
        EXPECT_NOT_NULL(block);
        EXPECT_EQ(block[BLOCK - 1], 'x');
        EXPECT_EQ(live(), core_block_bytes(BLOCK));
        EXPECT_EQ(refusals, 0);
        EXPECT_NULL(pim_mem_malloc(NULL, BLOCK)); // that was an exception
        pim_mem_free(NULL, block);
    }
}

// --- who, and when -------------------------------------------------------------

TEST(what_others_freed_is_taken_over_before_a_request_is_refused)
{
    limit_heap(heap, SOFT, SOFT);
    fill(BLOCK);
    fake_interp_detach(&interp);
    free_some(count / 2); // without a thread state
    fake_interp_attach(&interp);
    refusals = 0;
    blocks[count++] = pim_obj_malloc(NULL, 2 * MIB);
    EXPECT_NOT_NULL(blocks[count - 1]);
    EXPECT_EQ(refusals, 0);
}

static void
raise_limit(void *arg, const pimalloc_refusal *refusal)
{
    note_refusal(arg, refusal);
    limit_heap(heap, SOFT, 0);
}

TEST(a_callback_may_raise_the_limit_for_the_next_request)
{
    const pim_limit_terms terms = {MIB, MIB, raise_limit, &refusals};
    IN_GATE(pim_limit_set(&heap->limit, &terms));
    EXPECT_NULL(pim_obj_malloc(NULL, 2 * MIB));
    EXPECT_EQ(refusals, 1);
    blocks[count++] = pim_obj_malloc(NULL, 2 * MIB);
    EXPECT_NOT_NULL(blocks[count - 1]);
}

TEST(limit_that_is_taken_away_is_gone)
{
    limit_heap(heap, 1, 1);
    EXPECT_NULL(pim_obj_malloc(NULL, BLOCK));
    limit_heap(heap, 0, 0);
    blocks[count++] = pim_obj_malloc(NULL, 2 * SOFT);
    EXPECT_NOT_NULL(blocks[count - 1]);
    EXPECT(!pim_limit_is_set(&heap->limit));
}

static void
default_of_the_environment(void *arg)
{
    (void)arg;
    const pim_limit_terms environment = {.soft_bytes = SOFT};
    const pim_limit_terms program = {.soft_bytes = HARD};
    pim_limit_terms got;
    pim_limit_set_default(&environment, true);
    pim_limit_get_default(&got);
    EXPECT_EQ(got.soft_bytes, SOFT);
    pim_limit_set_default(&program, false);
    pim_limit_set_default(&environment, true);
    pim_limit_get_default(&got);
    EXPECT_EQ(got.soft_bytes, HARD);
}

// Before another case sets one.
TEST(a_program_wins_over_the_environment)
{
    char text[1024];
    EXPECT_EQ(
        core_in_child(default_of_the_environment, NULL, text, sizeof(text)), 0);
}

TEST(heaps_to_come_begin_with_the_default_and_a_recycled_one_too)
{
    const pim_limit_terms terms = {SOFT, HARD, note_refusal, &refusals};
    const pim_limit_terms none = {0};
    limit_heap(heap, 1, 1);
    fake_interp_stop(&interp); // its record is the next one's
    pim_limit_set_default(&terms, false);
    fake_interp_start(&interp);
    pim_heap *next = fake_current_heap();
    EXPECT_PTR_EQ(next, heap);
    EXPECT_EQ(fake_limit(next).terms.soft_bytes, SOFT);
    EXPECT_EQ(fake_limit(next).terms.hard_bytes, HARD);
    EXPECT_NULL(pim_obj_malloc(NULL, SOFT + 1));
    EXPECT_EQ(refusals, 1);
    fake_interp_stop(&interp);
    pim_limit_set_default(&none, false);
    begin_interp();
    EXPECT(!pim_limit_is_set(&fake_current_heap()->limit));
    EXPECT_EQ(fake_limit(fake_current_heap()).refusals, 0);
}

TEST(requests_without_a_thread_state_are_not_limited)
{
    limit_heap(heap, 1, 1);
    fake_interp_detach(&interp);
    void *block = pim_obj_malloc(NULL, 2 * MIB);
    EXPECT_NOT_NULL(block);
    pim_obj_free(NULL, block);
    fake_interp_attach(&interp);
}

TEST(legacy_interpreters_have_the_limit_of_main)
{
    static fake_interp legacy;
    fake_interp_detach(&interp);
    fake_interp_begin_legacy(&legacy, core_next_id());
    fake_interp_attach(&legacy);
    pim_heap *main_heap = fake_current_heap();
    const pim_limit_terms terms = {SOFT, 0, note_refusal, &refusals};
    const pim_limit_terms none = {0};
    IN_GATE(pim_limit_set(&main_heap->limit, &terms));
    EXPECT_NULL(pim_obj_malloc(NULL, 2 * SOFT));
    EXPECT_EQ(last_refusal.interp, FAKE_MAIN);
    IN_GATE(pim_limit_set(&main_heap->limit, &none));
    fake_interp_stop(&legacy);
    fake_interp_attach(&interp);
}

TEST(hard_below_soft_is_not_valid)
{
    EXPECT(!pim_limit_terms_are_valid(
        &(pim_limit_terms){.soft_bytes = 2, .hard_bytes = 1}));
    EXPECT(pim_limit_terms_are_valid(&(pim_limit_terms){.soft_bytes = 2}));
    EXPECT(pim_limit_terms_are_valid(&(pim_limit_terms){.hard_bytes = 1}));
}

// --- at random -----------------------------------------------------------------

static size_t
random_size(random_state *r)
{
    static const size_t most[] = {64, 600, 5000, 40000, 300000, 3 * MIB};
    return 1 + random_below(r, most[random_below(r, PIM_ARRAY_LEN(most))]);
}

// One step with the block at a place; it may get another size, come or go.
static void
random_step(random_state *r, const core_domain *d, char **place, size_t *size)
{
    size_t wanted = random_size(r);
    if (*place == NULL) {
        *place = random_below(r, 2) ? d->malloc(NULL, wanted)
                                    : d->calloc(NULL, 1, wanted);
    } else if (random_below(r, 3) == 0) {
        EXPECT_EQ(**place, 'a');
        char *moved = d->realloc(NULL, *place, wanted);
        EXPECT(moved != NULL || wanted > *size);
        if (moved == NULL) {
            return;
        }
        *place = moved;
    } else {
        EXPECT_EQ(**place, 'a');
        d->free(NULL, *place);
        *place = NULL;
    }
    if (*place != NULL) {
        **place = 'a';
        *size = wanted;
    }
}

// Half of the blocks are raw ones.
TEST(live_bytes_stay_below_the_limit_whatever_is_done)
{
    static char *places[400];
    static size_t sizes[400];
    random_state r = random_from(random_seed());
    // What a block may have beyond what it was asked for: the rest of a kept map
    // and, where it is moved to shrink, both for a moment.
    const uint64_t slack = MIB;
    pim_birth_expect(0); // no block is taken for an interpreter's
    for (unsigned round = 0; round < 20; round++) {
        uint64_t soft = MIB + random_below(&r, 12 * MIB);
        uint64_t hard = soft + random_below(&r, 2) * random_below(&r, MIB);
        limit_heap(heap, 0, 0);
        for (unsigned i = 0; i < PIM_ARRAY_LEN(places); i++) {
            core_domains[i % 2 * PIM_MEM].free(NULL, places[i]);
            places[i] = NULL;
        }
        limit_heap(heap, soft, hard);
        refusals = 0;
        for (unsigned step = 0; step < 5000; step++) {
            unsigned i = (unsigned)random_below(&r, PIM_ARRAY_LEN(places));
            random_step(&r, &core_domains[i % 2 * PIM_MEM], &places[i],
                        &sizes[i]);
            EXPECT_LE(live(), hard + slack);
        }
        EXPECT_GT(refusals, 0);
        pim_heap_audit(heap);
    }
    limit_heap(heap, 0, 0);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(places); i++) {
        core_domains[i % 2 * PIM_MEM].free(NULL, places[i]);
        places[i] = NULL;
    }
}

TEST(small_blocks_never_exceed_the_limit_by_a_byte)
{
    random_state r = random_from(random_seed());
    limit_heap(heap, SOFT, HARD);
    for (unsigned step = 0; step < 400000; step++) {
        void *block = random_below(&r, 100) < 60
                          ? pim_obj_malloc(NULL, 1 + random_below(&r, 700))
                          : NULL;
        if (block != NULL) {
            blocks[count++] = block;
        } else if (count != 0) {
            unsigned i = (unsigned)random_below(&r, count);
            pim_obj_free(NULL, blocks[i]);
            blocks[i] = blocks[--count];
        }
        if (step % 256 == 0) {
            EXPECT_LE(live(), HARD);
        }
    }
    EXPECT_LE(fake_figures(id).by_domain[OBJ].peak_bytes, HARD);
    EXPECT_GT(fake_figures(id).by_domain[OBJ].peak_bytes, SOFT);
    EXPECT_GT(refusals, 0);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)
