// test_raw_tag.c -- raw blocks of somebody else's malloc are in the account of the
// interpreter that allocated them, and blocks that went past us in nobody's.

#define _GNU_SOURCE

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "domain/domain.h"
#include "domain/raw_tag.h"
#include "mi/mi.h"
#include "support/core.h"
#include "support/raw_world.h"
#include "support/tsan.h"

// Sanitizers' malloc ends the process instead of refusing.
#if PIM_TSAN || defined(__SANITIZE_ADDRESS__)
#    define SANITIZED 1
#else
#    define SANITIZED 0
#endif

static const pim_raw_source sources[] = {PIM_RAW_LIBC, PIM_RAW_MIMALLOC};
static pim_raw_source source;
static fake_interp a;
static fake_interp b;
static raw_usage process; // before the test

static void
expect_usage(const fake_interp *interp, uint64_t bytes, uint64_t blocks)
{
    raw_expect(raw_of_interp(interp), bytes, blocks);
}

static void
expect_process(uint64_t more_bytes, uint64_t more_blocks)
{
    raw_expect(raw_of(PIM_PROCESS_ID), process.bytes + more_bytes,
               process.blocks + more_blocks);
}

// a and b are known, and a is current.
static void
begin(pim_raw_source from)
{
    source = from;
    pim_raw_set_source(from, (pim_raw_table){0});
    fake_interp_swap(NULL);
    fake_interp_begin(&a, core_next_id());
    fake_interp_begin(&b, core_next_id());
    raw_be_born(&b);
    raw_be_born(&a);
    process = raw_of(PIM_PROCESS_ID);
}

static void
end(void)
{
    fake_interp_swap(NULL);
    if (a.block != NULL) {
        fake_interp_end(&a);
    }
    fake_interp_end(&b);
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
}

static void
on_each_source(void (*run)(void))
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sources); i++) {
        begin(sources[i]);
        run();
        end();
    }
}

// What the account says of a block.
static size_t
usable(void *block)
{
    return (source == PIM_RAW_LIBC ? malloc_usable_size(block)
                                   : pim_mi.usable_size(block)) -
           PIM_RAW_TAG_BYTES;
}

static const size_t sizes[] = {0, 1, 8, 24, 25, 1000, 40000, 300000, 5u << 20};
#define SIZES PIM_ARRAY_LEN(sizes)

static void *blocks[SIZES];

static uint64_t
allocate_all(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < SIZES; i++) {
        unsigned char *p = i % 2 == 0 ? pim_raw_malloc(NULL, sizes[i])
                                      : pim_raw_calloc(NULL, 1, sizes[i]);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
        EXPECT(i % 2 == 0 || (p[0] == 0 && p[sizes[i] - 1] == 0));
        EXPECT_GE(usable(p), sizes[i]);
        memset(p, (int)i, usable(p)); // does not reach the tag
        bytes += usable(p);
        blocks[i] = p;
    }
    return bytes;
}

static void
free_all(void)
{
    core_free_all(PIM_RAW, blocks, SIZES);
}

// --- whose account -----------------------------------------------------------

static void
count_for_the_current(void)
{
    uint64_t bytes = allocate_all();
    expect_usage(&a, bytes, SIZES);
    expect_usage(&b, 0, 0);
    expect_process(0, 0);
    free_all();
    expect_usage(&a, 0, 0);
    EXPECT_EQ(fake_figures(a.state->id).remote_frees, 0);
    fake_interp_swap(NULL);
    bytes = allocate_all();
    expect_process(bytes, SIZES);
    expect_usage(&a, 0, 0);
    free_all();
    expect_process(0, 0);
}

TEST_OF(blocks_are_in_the_account_of_the_current_interpreter,
        on_each_source(count_for_the_current))

static void
free_for_others(void)
{
    uint64_t bytes = allocate_all();
    expect_usage(&a, bytes, SIZES);
    fake_interp_swap(&b);
    free_all();
    expect_usage(&a, 0, 0);
    expect_usage(&b, 0, 0);
    EXPECT_EQ(fake_figures(a.state->id).remote_frees, SIZES);
    allocate_all();
    fake_interp_swap(NULL);
    free_all();
    expect_usage(&b, 0, 0);
    expect_process(0, 0);
    allocate_all();
    fake_interp_swap(&a);
    free_all();
    expect_usage(&a, 0, 0);
    expect_process(0, 0);
}

TEST_OF(others_may_free_them, on_each_source(free_for_others))

static void
leave_to_the_process(void)
{
    fake_interp next;
    uint64_t bytes = allocate_all();
    const pim_heap *heap = fake_current_heap();
    int64_t id = a.state->id;
    size_t state = usable(a.block);
    fake_interp_swap(NULL);
    fake_interp_end(&a);
    EXPECT_EQ(fake_figures(id).by_domain[RAW].live_bytes, bytes);
    process.bytes -= state;
    process.blocks--;
    expect_process(bytes, SIZES);
    fake_interp_begin(&next, core_next_id());
    process.bytes += usable(next.block);
    process.blocks++;
    raw_be_born(&next);
    EXPECT_EQ((uintptr_t)fake_current_heap(), (uintptr_t)heap);
    void *p = pim_raw_malloc(NULL, 100);
    free_all(); // under who has the record now
    expect_process(0, 0);
    expect_usage(&next, usable(p), 1);
    pim_raw_free(NULL, p);
    expect_usage(&next, 0, 0);
    fake_interp_swap(NULL);
    fake_interp_end(&next);
}

TEST_OF(what_an_interpreter_leaves_is_the_processs,
        on_each_source(leave_to_the_process))

// --- realloc -----------------------------------------------------------------

static void
resize(void)
{
    static const size_t resized[] = {100, 3000, 3u << 20, 200000, 10, 1};
    char *p = pim_raw_malloc(NULL, 1);
    size_t size = 1;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(resized); i++) {
        fake_interp_swap(i % 2 == 0 ? &a : &b);
        memset(p, (int)i + 1, size);
        p = pim_raw_realloc(NULL, p, resized[i]);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ(p[(size < resized[i] ? size : resized[i]) - 1],
                  (char)(i + 1));
        size = resized[i];
        expect_usage(&a, i % 2 == 0 ? usable(p) : 0, i % 2 == 0);
        expect_usage(&b, i % 2 == 1 ? usable(p) : 0, i % 2 == 1);
    }
    if (!SANITIZED) {
        EXPECT_NULL(pim_raw_realloc(NULL, p, PIM_REQUEST_MAX - 100));
    }
    expect_usage(&b, usable(p), 1);
    pim_raw_free(NULL, p);
    expect_usage(&b, 0, 0);
}

TEST_OF(a_resized_block_is_the_callers_and_a_refused_one_stays,
        on_each_source(resize))

// --- blocks that go past us --------------------------------------------------

TEST(blocks_that_libc_allocated_are_in_nobodys_account)
{
    begin(PIM_RAW_LIBC);
    for (size_t size = 1; size < 2000; size++) {
        char *p = malloc(size);
        memset(p, 0xff, size);
        pim_raw_free(NULL, p);
    }
    expect_usage(&a, 0, 0);
    expect_process(0, 0);
    char *p = malloc(10);
    memset(p, 7, 10);
    p = pim_raw_realloc(NULL, p, 1000); // one of ours from here on
    EXPECT_EQ(p[9], 7);
    expect_usage(&a, usable(p), 1);
    pim_raw_free(NULL, p);
    expect_usage(&a, 0, 0);
    end();
}

// The memory of a block that we freed may be libc's next, with what we wrote.
TEST(a_freed_block_is_not_counted_again)
{
    begin(PIM_RAW_LIBC);
    void *kept = pim_raw_malloc(NULL, 50);
    for (unsigned i = 0; i < 100; i++) {
        void *p = pim_raw_malloc(NULL, 100);
        pim_raw_free(NULL, p);
        pim_raw_free(NULL, malloc(100 + PIM_RAW_TAG_BYTES));
    }
    expect_usage(&a, usable(kept), 1);
    pim_raw_free(NULL, kept);
    expect_usage(&a, 0, 0);
    end();
}

TEST(libc_may_free_blocks_of_ours)
{
    begin(PIM_RAW_LIBC);
    free(pim_raw_malloc(NULL, 100));
    free(realloc(pim_raw_malloc(NULL, 100), 1000));
    EXPECT_EQ(raw_of(a.state->id).blocks, 2); // for ever
    end();
}

// A tag of another place is none.
TEST(a_copied_tag_is_not_believed)
{
    begin(PIM_RAW_LIBC);
    char *ours = pim_raw_malloc(NULL, 100);
    size_t bytes = malloc_usable_size(ours);
    char *copy = malloc(bytes);
    size_t end_of_copy = malloc_usable_size(copy);
    EXPECT_EQ(end_of_copy, bytes);
    memcpy(copy, ours, bytes);
    pim_raw_free(NULL, copy);
    expect_usage(&a, usable(ours), 1);
    pim_raw_free(NULL, ours);
    expect_usage(&a, 0, 0);
    end();
}

SUITE(.set_up = core_set_up)
