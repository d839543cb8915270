// test_limit_raw.c -- raw requests under the limit of the interpreter that is current.

#include <string.h>

#include "domain/domain.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "support/core.h"
#include "support/interp_case.h"
#include "support/refusals.h"

#define MIB ((size_t)1 << 20)
#define BLOCK 100

static int
begin(void **state)
{
    refusals = 0;
    return interp_case_begin(state);
}

// Of all domains; nothing but raw blocks is allocated here.
static uint64_t
raw_live(void)
{
    pim_figures f = fake_figures(interp.state->id);
    return f.by_domain[RAW].live_bytes;
}

TEST(raw_requests_of_each_kind_are_refused_and_reported_once)
{
    static const size_t sizes[] = {BLOCK,  5000,         PIM_SMALL_MAX,
                                   200000, PIM_SPAN_MAX, 2 * MIB};
    limit_heap(heap, 1, 1); // nothing at all
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        refusals = 0;
        EXPECT_NULL(pim_raw_malloc(NULL, sizes[i]));
        EXPECT_EQ(refusals, 1);
        EXPECT_EQ(last_refusal.interp, interp.state->id);
        EXPECT_EQ(last_refusal.domain, PIM_RAW);
        EXPECT_EQ(last_refusal.is_hard, 1);
        EXPECT_GE(last_refusal.bytes, sizes[i]);
        EXPECT_LE(last_refusal.bytes, sizes[i] + sizes[i] / 4 + PIM_UNIT_SIZE);
        EXPECT_NULL(pim_raw_calloc(NULL, 1, sizes[i]));
        EXPECT_EQ(refusals, 2);
        EXPECT_EQ(raw_live(), 0);
    }
}

TEST(raw_counts_and_shrinks_like_others)
{
    static const size_t sizes[] = {400, 20000, 100000, MIB, 3 * MIB};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        limit_heap(heap, 0, 0);
        char *block = pim_raw_malloc(NULL, sizes[i]);
        memset(block, 'x', sizes[i]);
        EXPECT_GE(raw_live(), sizes[i]);
        limit_heap(heap, sizes[i], sizes[i]);
        EXPECT_NULL(pim_obj_malloc(NULL, sizes[i]));
        refusals = 0;
        EXPECT_NULL(pim_raw_realloc(NULL, block, 2 * sizes[i]));
        EXPECT_EQ(refusals, 1);
        EXPECT_EQ(last_refusal.domain, PIM_RAW);
        limit_heap(heap, 1, 1);
        block = pim_raw_realloc(NULL, block, BLOCK);
        EXPECT_NOT_NULL(block);
        EXPECT_EQ(block[BLOCK - 1], 'x');
        EXPECT_EQ(raw_live(), core_block_bytes(BLOCK));
        EXPECT_EQ(refusals, 1);
        EXPECT_NULL(pim_raw_malloc(NULL, BLOCK)); // that was an exception
        pim_raw_free(NULL, block);
    }
}

TEST(raw_requests_without_a_thread_state_are_not_limited)
{
    limit_heap(heap, 1, 1);
    fake_interp_swap(NULL);
    void *small = pim_raw_malloc(NULL, BLOCK);
    void *large = pim_raw_malloc(NULL, 2 * MIB);
    EXPECT_NOT_NULL(small);
    EXPECT_NOT_NULL(large);
    fake_interp_swap(&interp);
    EXPECT_EQ(raw_live(), 0);
    pim_raw_free(NULL, small);
    pim_raw_free(NULL, large);
    EXPECT_EQ(refusals, 0);
}

// Others free some blocks of a page that is used up to its end, the last one too, and
// the request that is next would not fit without that.
TEST(what_others_freed_in_the_current_page_is_handed_out)
{
    void *blocks[4000];
    unsigned count = 0;
    unsigned size_class = pim_size_class(BLOCK);
    pim_page **current = &heap->current[RAW][size_class];
    unsigned enough = 4 * PIM_UNIT_SIZE / BLOCK;
    do {
        blocks[count++] = pim_raw_malloc(NULL, BLOCK);
    } while (count < enough || (*current)->free != NULL ||
             (*current)->carved != (*current)->capacity);
    limit_heap(heap, raw_live(), raw_live());
    fake_interp_detach(&interp);
    while (count > enough / 2) {
        pim_raw_free(NULL, blocks[--count]);
    }
    fake_interp_attach(&interp);
    unsigned before = count;
    while ((blocks[count] = pim_raw_malloc(NULL, BLOCK)) != NULL) {
        count++;
    }
    EXPECT_GE(count - before, enough / 2);
    EXPECT_EQ(refusals, 1);
    pim_heap_audit(heap);
    limit_heap(heap, 0, 0);
    while (count > 0) {
        pim_raw_free(NULL, blocks[--count]);
    }
}

SUITE(.set_up = core_set_up, .begin = begin, .end = interp_case_end)
