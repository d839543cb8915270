// test_kept.c -- what is kept of freed maps is no reason for mimalloc to refuse a
// request, and makes way for its large blocks.

#include <string.h>

#include "domain/domain.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "support/blocks.h"
#include "support/core.h"
#include "support/fake_mi.h"

// Not huge pages, which go whole: how much would depend on where the map lies.
#define KEPT (PIM_EXTENT_HUGE_BORN - PIM_EXTENT_KEPT_MIN)
#define SIZE (PIM_EXTENT_KEPT_MIN / 2)  // for which nothing makes way
#define LARGE (PIM_EXTENT_KEPT_MIN * 3) // and for which it does

_Static_assert(LARGE < PIM_EXTENT_BORN, "gets no map");

// Ways to get a block from mimalloc.  `block` is NULL but for the last one.
typedef struct way {
    const char *name;
    void *(*ask)(void *block, size_t size);
    bool resizes;
    bool is_large; // freed by the large blocks' functions
    pim_raw_source source;
} way;

static void *
ask_raw_malloc(void *block, size_t size)
{
    (void)block;
    return pim_raw_malloc(NULL, size);
}

static void *
ask_raw_calloc(void *block, size_t size)
{
    (void)block;
    return pim_raw_calloc(NULL, 1, size);
}

static void *
ask_raw_realloc(void *block, size_t size)
{
    return pim_raw_realloc(NULL, block, size);
}

// As where no arena is left; for a map of its own it is too small.
static void *
ask_large(void *block, size_t size)
{
    (void)block;
    return pim_large_alloc(the.heap, PIM_RAW, size, false);
}

static void *
ask_large_zeroed(void *block, size_t size)
{
    (void)block;
    return pim_large_alloc(the.heap, PIM_RAW, size, true);
}

static const way ways[] = {
    {"raw malloc", ask_raw_malloc, false, false, PIM_RAW_OWN},
    {"raw malloc of mimalloc", ask_raw_malloc, false, false, PIM_RAW_MIMALLOC},
    {"raw calloc of mimalloc", ask_raw_calloc, false, false, PIM_RAW_MIMALLOC},
    {"raw realloc of mimalloc", ask_raw_realloc, true, false, PIM_RAW_MIMALLOC},
    {"large", ask_large, false, true, PIM_RAW_OWN},
    {"large, zeroed", ask_large_zeroed, false, true, PIM_RAW_OWN},
};

// What a way starts with.
static char *
begin(const way *w)
{
    print_message("  %s\n", w->name);
    pim_raw_set_source(w->source, (pim_raw_table){0});
    char *block = w->resizes ? pim_raw_malloc(NULL, SIZE / 2) : NULL;
    if (block != NULL) {
        memset(block, 7, SIZE / 2);
    }
    return block;
}

static void
end(const way *w, void *block)
{
    if (w->is_large) {
        pim_large_free(the.heap, block);
    } else {
        pim_raw_free(NULL, block);
    }
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
}

static uint64_t
requests(void)
{
    return pim_load_relaxed(&fake_mi.counted);
}

TEST(refused_request_is_tried_again_without_what_is_kept)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(ways); i++) {
        const way *w = &ways[i];
        char *block = begin(w);
        drop(make(KEPT));
        fake_mi_fail(1, false);
        char *p = w->ask(block, SIZE);
        fake_mi_heal();
        EXPECT_NOT_NULL(p);
        EXPECT_EQ(requests(), 2);
        EXPECT_EQ(idle(), 0);
        EXPECT(!w->resizes || (p[0] == 7 && p[SIZE / 2 - 1] == 7));
        memset(p, 1, SIZE);
        end(w, p);
    }
}

TEST(request_that_is_refused_again_changes_nothing)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(ways); i++) {
        const way *w = &ways[i];
        char *block = begin(w);
        drop(make(KEPT));
        pim_figures before = fake_figures(the.heap->id);
        fake_mi_fail(1, true);
        EXPECT_NULL(w->ask(block, SIZE));
        EXPECT_EQ(requests(), 2);
        EXPECT_EQ(idle(), 0);
        EXPECT_NULL(w->ask(block, SIZE));
        EXPECT_EQ(requests(), 3); // nothing was kept
        fake_mi_heal();
        pim_figures after = fake_figures(the.heap->id);
        for (unsigned d = 0; d < PIM_DOMAINS; d++) {
            EXPECT_EQ(after.by_domain[d].live_bytes,
                      before.by_domain[d].live_bytes);
            EXPECT_EQ(after.by_domain[d].live_blocks,
                      before.by_domain[d].live_blocks);
        }
        if (block != NULL) {
            EXPECT(block[0] == 7 && block[SIZE / 2 - 1] == 7);
            end(w, block);
        }
    }
}

TEST(what_is_kept_makes_way_for_large_blocks_of_mimalloc)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(ways); i++) {
        const way *w = &ways[i];
        char *block = begin(w);
        trim_extents(true);
        drop(make(KEPT));
        size_t kept = idle();
        char *p = w->ask(block, SIZE);
        EXPECT_EQ(idle(), kept);
        end(w, p);
        block = begin(w);
        p = w->ask(block, LARGE + 24);
        EXPECT_EQ(idle() % PAGE, 0);
        EXPECT_LE(idle() + LARGE, kept);
        // Huge pages go whole.
        EXPECT_GE(idle() + LARGE + PIM_ARENA_SIZE, kept);
        end(w, p);
    }
}

TEST(nothing_makes_way_for_a_block_that_stays_where_it_is)
{
    pim_raw_set_source(PIM_RAW_MIMALLOC, (pim_raw_table){0});
    char *p = pim_raw_malloc(NULL, LARGE);
    drop(make(KEPT));
    size_t kept = idle();
    EXPECT_PTR_EQ(pim_raw_realloc(NULL, p, LARGE - LARGE / 8), p);
    EXPECT_EQ(idle(), kept);
    pim_raw_free(NULL, p);
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
}

SUITE(.set_up = core_set_up, .begin = blocks_begin, .end = blocks_end)
