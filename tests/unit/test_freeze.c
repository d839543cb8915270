// test_freeze.c -- pages out of use before a fork, and memory that others give back.

#include <string.h>

#include "domain/domain.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/freeze.h"
#include "interp/registry.h"
#include "support/core.h"
#include "support/interp_case.h"

#define BLOCKS 4000

static char *blocks[BLOCKS];

static size_t
size_of(unsigned i)
{
    return 16 + i % 700;
}

// Every second block is freed, so all pages have gaps.
static void
fill_with_gaps(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_obj_malloc(NULL, size_of(i));
        EXPECT_NOT_NULL(blocks[i]);
        memset(blocks[i], (int)i, size_of(i));
    }
    for (unsigned i = 0; i < BLOCKS; i += 2) {
        pim_obj_free(NULL, blocks[i]);
        blocks[i] = NULL;
    }
}

static void
freeze(void)
{
    IN_GATE(pim_heap_freeze(heap));
    pim_heap_audit(heap);
}

static void
free_the_rest(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        pim_obj_free(NULL, blocks[i]);
        blocks[i] = NULL;
    }
}

static bool
is_shared_page(const pim_page *page)
{
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        if (pim_page_of(blocks[i]) == page) {
            return true;
        }
    }
    return false;
}

TEST(new_blocks_are_in_pages_that_held_none)
{
    fill_with_gaps();
    freeze();
    for (unsigned i = 0; i < BLOCKS; i += 2) {
        blocks[i] = pim_obj_malloc(NULL, size_of(i));
        EXPECT(!is_shared_page(pim_page_of(blocks[i])));
    }
    pim_heap_audit(heap);
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        EXPECT_EQ(blocks[i][0], (char)i); // what is shared is as it was
    }
    free_the_rest();
}

TEST(frozen_page_comes_back_when_it_is_empty)
{
    fill_with_gaps();
    freeze();
    uint64_t pages = pim_load_relaxed(&heap->page_count);
    pim_page *page = pim_page_of(blocks[1]);
    EXPECT_EQ(page->state, PIM_PAGE_FROZEN);
    unsigned used = pim_page_used(page);
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        if (pim_page_of(blocks[i]) != page) {
            continue;
        }
        EXPECT_EQ(page->state, PIM_PAGE_FROZEN);
        pim_obj_free(NULL, blocks[i]);
        blocks[i] = NULL;
        used--;
    }
    EXPECT_EQ(used, 0);
    EXPECT_EQ(page->state, PIM_PAGE_UNUSED);
    EXPECT_EQ(pim_load_relaxed(&heap->page_count), pages - 1);
    pim_heap_audit(heap);
    free_the_rest();
}

// By another interpreter, so the owner collects the blocks.
TEST(frozen_page_that_others_empty_comes_back)
{
    fake_interp other;
    fill_with_gaps();
    freeze();
    uint64_t pages = pim_load_relaxed(&heap->page_count);
    fake_interp_begin(&other, core_next_id());
    fake_interp_swap(&other);
    free_the_rest();
    fake_interp_swap(&interp);
    IN_GATE(pim_heap_drain(heap));
    pim_heap_audit(heap);
    EXPECT_EQ(pim_load_relaxed(&heap->page_count), 0);
    EXPECT_GT(pages, 0);
    fake_interp_end(&other);
}

TEST(heap_with_frozen_pages_ends_like_any_other)
{
    fill_with_gaps();
    freeze();
    char *kept = blocks[1];
    for (unsigned i = 2; i < BLOCKS; i++) {
        pim_obj_free(NULL, blocks[i]);
        blocks[i] = NULL;
    }
    end_interp();
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 1);
    EXPECT_EQ(kept[0], 1);
    pim_obj_free(NULL, kept);
    pim_heap_audit(&pim_process_heap);
    blocks[1] = NULL;
    begin_interp();
}

// --- from outside ----------------------------------------------------------

static uint64_t
idle_bytes(void)
{
    return heap->arenas.idle_units * PIM_UNIT_SIZE;
}

static size_t
purge_from_outside(bool all)
{
    fake_tstate *before = fake_interp_swap(NULL);
    pim_gate_close();
    size_t bytes = pim_heap_purge_from_outside(heap, all);
    pim_gate_open();
    if (before != NULL) {
        fake_interp_swap(&interp);
    }
    pim_heap_audit(heap);
    return bytes;
}

// Spans that are freed become free units at once but for one of each length.
static void
make_idle_units(void)
{
    void *spans[8];
    for (unsigned i = 0; i < 8; i++) {
        spans[i] = pim_obj_malloc(NULL, 20 * PIM_UNIT_SIZE);
        memset(spans[i], 1, 20 * PIM_UNIT_SIZE);
    }
    core_free_all(PIM_OBJ, spans, 8);
    EXPECT_GE(idle_bytes(), 7 * 20 * PIM_UNIT_SIZE);
}

TEST(others_return_free_units_at_once)
{
    make_idle_units();
    EXPECT_GE(purge_from_outside(true), 7 * 20 * PIM_UNIT_SIZE);
    EXPECT_EQ(idle_bytes(), 0);
}

TEST(owner_returns_the_rest_when_it_is_asked)
{
    make_idle_units();
    purge_from_outside(true);
    EXPECT_GT(heap->idle.span_units, 0); // the owner's alone
    pim_obj_free(NULL,
                 pim_obj_malloc(NULL, 20 * PIM_UNIT_SIZE)); // no slow path
    EXPECT_GT(heap->idle.span_units, 0);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 3 * PIM_UNIT_SIZE));
    EXPECT_LE(heap->idle.span_units, 3);
    EXPECT_LE(idle_bytes(), 3 * PIM_UNIT_SIZE);
}

TEST(what_was_idle_for_two_turns_goes)
{
    make_idle_units();
    EXPECT_EQ(purge_from_outside(false), 0);
    EXPECT_GE(purge_from_outside(false), 7 * 20 * PIM_UNIT_SIZE);
    EXPECT_GT(heap->idle.span_units, 0);
}

SUITE(.set_up = core_set_up, .begin = interp_case_begin_used,
      .end = interp_case_end)
