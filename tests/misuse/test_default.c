// test_default.c -- what is caught without the checked mode, because a slow path has
// it at hand: the process ends with a message that names size, domain and owner.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "domain/domain.h"
#include "interp/current.h"
#include "support/core.h"
#include "support/interp_case.h"

#define BLOCK 48

static void
expect_named(void (*body)(void *), const char *what, const char *about)
{
    char text[200];
    snprintf(text, sizeof(text), "%s: %s%" PRId64 " (0x", what, about, id);
    core_expect_fatal(body, NULL, text);
}

// Allocates from a fresh page until another one begins; returns the first block of
// the full one.
static char *
full_page(void)
{
    char *first = pim_mem_malloc(NULL, BLOCK);
    const pim_page *page = pim_page_of(first);
    char *last = first;
    while (pim_page_of(last) == page) {
        last = pim_mem_malloc(NULL, BLOCK);
    }
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    return first;
}

static void
free_twice_in_full_page(void *arg)
{
    (void)arg;
    char *block = full_page();
    for (unsigned i = 0; i < 1000; i++) {
        pim_mem_free(NULL, block);
    }
}

TEST_OF(a_double_free_in_a_full_page_is_found_when_it_comes_back,
        expect_named(
            free_twice_in_full_page, "a block was freed twice",
            "offset 0 of a block of 48 bytes, domain mem, of interpreter "))

static void
write_to_free_block(void *arg)
{
    (void)arg;
    char *kept[8];
    for (unsigned i = 0; i < PIM_ARRAY_LEN(kept); i++) {
        kept[i] = pim_obj_malloc(NULL, BLOCK);
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(kept); i++) {
        pim_obj_free(NULL, kept[i]);
    }
    memset(kept[4], 0, sizeof(void *));
    for (unsigned i = 0; i < 1000; i++) {
        pim_obj_malloc(NULL, BLOCK);
    }
}

TEST_OF(a_free_list_cut_short_is_found_when_the_page_is_exhausted,
        expect_named(
            write_to_free_block, "a free block was written to",
            "offset 0 of a block of 48 bytes, domain obj, of interpreter "))

static void
free_twice_by_others(void *arg)
{
    (void)arg;
    void *block = pim_mem_malloc(NULL, BLOCK);
    fake_interp_swap(NULL);
    pim_mem_free(NULL, block);
    pim_mem_free(NULL, block);
}

TEST_OF(a_double_free_by_a_stranger_is_found_at_once,
        expect_named(
            free_twice_by_others, "a block was freed twice",
            "offset 0 of a block of 48 bytes, domain mem, of interpreter "))

static void
free_behind_the_blocks(void *arg)
{
    (void)arg;
    char *block = pim_mem_malloc(NULL, BLOCK);
    const pim_page *page = pim_page_of(block);
    size_t behind = (size_t)page->capacity * page->block_size;
    EXPECT_LT(behind, PIM_UNIT_SIZE);
    fake_interp_swap(NULL);
    pim_mem_free(NULL, pim_page_start(page) + behind);
}

TEST_OF(a_strangers_free_behind_a_pages_blocks_is_found,
        core_expect_fatal(
            free_behind_the_blocks, NULL,
            "free of an address behind a page's blocks: offset 0 of "))

static void
free_inside_span(void *arg)
{
    (void)arg;
    char *block = pim_mem_malloc(NULL, 100000);
    pim_mem_free(NULL, block + PIM_UNIT_SIZE);
}

TEST_OF(a_free_inside_a_span_is_found_at_once,
        expect_named(free_inside_span, "free of an address inside a block",
                     "offset 16384 of a block of 114688 bytes, domain mem, of "
                     "interpreter "))

// A page that an ended interpreter left knows its live blocks exactly.
static void
free_orphan_again(void *arg)
{
    (void)arg;
    void *left[3];
    core_fill(PIM_OBJ, left, PIM_ARRAY_LEN(left), BLOCK);
    end_interp();
    begin_interp();
    pim_obj_free(NULL, left[0]);
    pim_obj_free(NULL, left[1]);
    pim_obj_free(NULL, left[0]);
}

TEST_OF(
    a_double_free_of_what_an_ended_interpreter_left_is_found_at_once,
    core_expect_fatal(free_orphan_again, NULL,
                      "a block was freed twice: offset 0 of a block of 48 "
                      "bytes, domain obj, of an interpreter that has ended ("))

static void
free_raw_again(void *arg)
{
    (void)arg;
    fake_interp_swap(NULL); // served by the process's raw heap
    void *block = pim_raw_malloc(NULL, BLOCK);
    pim_raw_free(NULL, block);
    pim_raw_free(NULL, block);
}

TEST_OF(
    a_double_free_of_a_raw_block_is_found_at_once,
    core_expect_fatal(free_raw_again, NULL,
                      "a raw block was freed twice: offset 0 of a block of 48 "
                      "bytes, domain raw, of the process ("))

SUITE(.set_up = core_set_up, .begin = interp_case_begin, .end = interp_case_end)
