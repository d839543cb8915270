// test_stretch.c -- blocks where the main stretch of the region is used up.

#include <string.h>

#include "account/ledger.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/raw_world.h"

static void
use_up_by_an_interpreter(void *arg)
{
    enum { BLOCKS = 2048 };
    static void *blocks[BLOCKS];
    (void)arg;
    fake_interp interp;
    core_start_with_region(PIM_ARENA_SIZE);
    fake_interp_start(&interp);
    unsigned elsewhere = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_obj_calloc(NULL, 1, 30000);
        EXPECT_NOT_NULL(blocks[i]);
        EXPECT_EQ((uintptr_t)blocks[i] % PIM_ALIGNMENT, 0);
        for (unsigned at = 0; at < 30000; at += 100) {
            EXPECT_EQ(((char *)blocks[i])[at], 0);
        }
        memset(blocks[i], (int)i, 30000);
        EXPECT(pim_region_contains(blocks[i]));
        elsewhere += !pim_region_main_contains(blocks[i]);
    }
    EXPECT_GT(elsewhere, BLOCKS / 2);
    EXPECT_EQ(fake_figures(interp.state->id).by_domain[1].live_blocks, BLOCKS);
    EXPECT_NOT_NULL(pim_obj_malloc(NULL, 8));
    for (unsigned i = 0; i < BLOCKS; i++) {
        EXPECT_EQ(((unsigned char *)blocks[i])[29999], i & 255);
        blocks[i] = pim_obj_realloc(NULL, blocks[i], 20000);
        EXPECT_EQ(((unsigned char *)blocks[i])[19999], i & 255);
        pim_obj_free(NULL, blocks[i]);
    }
    EXPECT_EQ(fake_figures(interp.state->id).by_domain[1].live_blocks, 1);
    pim_heap_audit(fake_current_heap());
    fake_interp_stop(&interp);
}

static void
use_up_by_raw(void *arg)
{
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    (void)arg;
    core_start_with_region(PIM_ARENA_SIZE);
    unsigned elsewhere = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_malloc(NULL, 4000);
        EXPECT_NOT_NULL(blocks[i]);
        memset(blocks[i], (int)i, 4000);
        EXPECT(raw_is_small(blocks[i]));
        elsewhere += !pim_region_main_contains(blocks[i]);
    }
    EXPECT_GT(elsewhere, BLOCKS / 2);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_realloc(NULL, blocks[i], 1500);
        EXPECT_EQ(((unsigned char *)blocks[i])[1499], i & 255);
        pim_raw_free(NULL, blocks[i]);
    }
    EXPECT_EQ(raw_now().live_blocks, 0);
    EXPECT_EQ(raw_now().live_bytes, 0);
    EXPECT_EQ(raw_taken(), pim_raw_small_audit() + 1);
}

// In a child, since a process has one region.
static void
expect_elsewhere(void (*body)(void *))
{
    char text[1024];
    int status = core_in_child(body, NULL, text, sizeof(text));
    print_message("%s", text);
    EXPECT_EQ(status, 0);
}

TEST_OF(beyond_the_main_stretch_blocks_lie_elsewhere,
        expect_elsewhere(use_up_by_an_interpreter))
TEST_OF(beyond_the_main_stretch_raw_blocks_lie_elsewhere,
        expect_elsewhere(use_up_by_raw))

SUITE()
