// test_bypass.c -- the checked mode where CPython allocates and frees raw blocks behind
// our back (up to 3.13, debug builds): what may be its doing is not reported.

#include "misuse/calls.h"

#include <stdlib.h>

#include "support/interp_case.h"

static int
start(void **state)
{
    core_start();
    pim_raw_set_source(PIM_RAW_LIBC, (pim_raw_table){0});
    pim_check_start(false);
    return interp_case_begin(state);
}

// Freed by us, allocated by libc at the same address, freed by us again.
TEST(raw_blocks_that_bypass_us_are_not_judged)
{
    void *blocks[1000];
    unsigned seen_again = 0;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(blocks); i++) {
        blocks[i] = checked_malloc(PIM_RAW, 90); // and a tag
        checked_free(PIM_RAW, blocks[i]);
        void *behind = malloc(100);
        seen_again += behind == blocks[i];
        checked_free(PIM_RAW, behind);
    }
#ifndef __SANITIZE_ADDRESS__ // which keeps what was freed for a while
    EXPECT_GT(seen_again, 0);
#endif
    for (unsigned i = 0; i < PIM_ARRAY_LEN(blocks); i++) {
        blocks[i] = checked_malloc(PIM_RAW, 50000);
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(blocks); i++) {
        free(blocks[i]); // now there are live blocks that are not
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(blocks); i++) {
        blocks[i] = malloc(100 + 10 * i);
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(blocks); i++) {
        checked_free(PIM_RAW, checked_realloc(PIM_RAW, blocks[i], 2000));
    }
}

static void
free_as(void *arg)
{
    const unsigned *mix = arg;
    checked_free(mix[1], checked_malloc(mix[0], 100));
}

TEST(the_domains_are_told_apart_all_the_same)
{
    for (unsigned from = 0; from < PIM_DOMAINS; from++) {
        for (unsigned to = 0; to < PIM_DOMAINS; to++) {
            unsigned mix[] = {from, to};
            char text[100];
            snprintf(text, sizeof(text),
                     "wrong domain: %sFree() in interpreter %" PRId64,
                     prefixes[to], id);
            if (from != to) {
                core_expect_fatal(free_as, mix, text);
            }
        }
    }
}

static void
free_inside_mem(void *arg)
{
    const size_t *size = arg;
    checked_free(PIM_RAW, (char *)checked_malloc(PIM_MEM, *size) + 16);
}

TEST(a_raw_free_inside_a_block_of_mem_is_named)
{
    static const size_t sizes[] = {48, 40000, 3 << 20};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        size_t size = sizes[i];
        core_expect_fatal(free_inside_mem, &size,
                          "interior pointer: PyMem_RawFree() in");
    }
}

SUITE(.set_up = start)
