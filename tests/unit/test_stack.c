// test_stack.c -- pieces of frame stacks, and arenas of others.

#include <stdlib.h>
#include <string.h>

#include "domain/stack.h"
#include "support/blocks.h"
#include "support/core.h"

static unsigned of_source; // pieces that are live

static void *
source_alloc(void *ctx, size_t size)
{
    EXPECT_PTR_EQ(ctx, &of_source);
    of_source++;
    return aligned_alloc(4096, size); // as a map begins
}

static void
source_free(void *ctx, void *piece, size_t size)
{
    EXPECT_PTR_EQ(ctx, &of_source);
    EXPECT_EQ(size % 4096, 0);
    of_source--;
    free(piece);
}

static const pim_stack_source source = {&of_source, source_alloc, source_free};

static int
begin(void **state)
{
    pim_stack_set_source(source);
    return blocks_begin(state);
}

static uint64_t
mem_bytes(void)
{
    return fake_figures(the.id).by_domain[MEM].live_bytes;
}

TEST(a_piece_is_a_block_of_mem_of_the_interpreter)
{
    static const size_t sizes[] = {PIM_UNIT_SIZE, 2 * PIM_UNIT_SIZE,
                                   PIM_SPAN_MAX, 4 * MIB};
    for (size_t i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        char *piece = pim_stack_alloc(NULL, sizes[i]);
        EXPECT_NOT_NULL(piece);
        memset(piece, 1, sizes[i]);
        EXPECT_GE(mem_bytes(), sizes[i]);
        EXPECT_LE(mem_bytes(), sizes[i] + PAGE);
        pim_stack_free(NULL, piece, sizes[i]);
        EXPECT_EQ(mem_bytes(), 0);
        EXPECT_EQ(of_source, 0);
    }
}

TEST(arenas_of_others_read_as_zero)
{
    for (unsigned round = 0; round < 3; round++) {
        char *piece = pim_stack_alloc(NULL, MIB);
        for (size_t i = 0; i < MIB; i++) {
            EXPECT_EQ(piece[i], 0);
        }
        memset(piece, 1, MIB);
        pim_stack_free(NULL, piece, MIB);
    }
}

TEST(a_piece_above_the_limit_is_refused_and_reported)
{
    pimalloc_limit_callback none = NULL;
    const pim_limit_terms terms = {2 * PIM_UNIT_SIZE, 2 * PIM_UNIT_SIZE, none,
                                   NULL};
    void *pieces[3];
    IN_GATE(pim_limit_set(&the.heap->limit, &terms));
    for (unsigned i = 0; i < 3; i++) {
        pieces[i] = pim_stack_alloc(NULL, PIM_UNIT_SIZE);
    }
    EXPECT_NOT_NULL(pieces[1]);
    EXPECT_NULL(pieces[2]);
    pim_stack_free(NULL, pieces[0], PIM_UNIT_SIZE);
    pieces[0] = pim_stack_alloc(NULL, PIM_UNIT_SIZE);
    EXPECT_NOT_NULL(pieces[0]);
    pim_stack_free(NULL, pieces[0], PIM_UNIT_SIZE);
    pim_stack_free(NULL, pieces[1], PIM_UNIT_SIZE);
}

// A thread state may be gone when its stack is freed.
TEST(others_may_free_a_piece)
{
    char *piece = pim_stack_alloc(NULL, PIM_UNIT_SIZE);
    fake_interp_detach(&the.interp);
    pim_stack_free(NULL, piece, PIM_UNIT_SIZE);
    fake_interp_attach(&the.interp);
    EXPECT_EQ(mem_bytes(), 0);
}

TEST(without_an_interpreter_that_is_known_the_source_serves)
{
    fake_interp unknown;
    fake_interp_detach(&the.interp);
    char *piece = pim_stack_alloc(NULL, PIM_UNIT_SIZE);
    EXPECT_EQ(of_source, 1);
    fake_interp_start(&unknown);
    char *other = pim_stack_alloc(NULL, 1 << 20);
    EXPECT_EQ(of_source, 2);
    fake_interp_stop(&unknown);
    fake_interp_attach(&the.interp);
    pim_stack_free(NULL, piece, PIM_UNIT_SIZE);
    pim_stack_free(NULL, other, 1 << 20);
    EXPECT_EQ(of_source, 0);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = blocks_end)
