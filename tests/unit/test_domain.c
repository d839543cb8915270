// test_domain.c -- CPython's rules, in each domain, attached to an interpreter
// and without a thread state.

#include <stdlib.h>
#include <string.h>

#include "account/ledger.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/raw_world.h"
#include "support/team.h"

static fake_interp interp;
static const core_domain *const domains_end = core_domains + 3;

static int
attached(void **state)
{
    (void)state;
    fake_interp_start(&interp);
    return 0;
}

static int
detach(void **state)
{
    (void)state;
    fake_interp_stop(&interp);
    return 0;
}

#define ATTACHED(name) TEST_WITH(name, attached, detach)
#define BOTH_WAYS(name)                                                        \
    TEST_FORM(name, EXPECT_LIST(name, name, false, NULL, NULL) EXPECT_LIST(    \
                        name##_attached, name, true, attached, detach))

static void
expect_aligned(const void *p)
{
    EXPECT_NOT_NULL(p);
    EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
}

BOTH_WAYS(every_size_is_aligned)
{
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        for (size_t size = 0; size < 70000; size += size < 2000 ? 1 : 61) {
            char *p = d->malloc(NULL, size);
            expect_aligned(p);
            memset(p, 1, size);
            char *q = d->calloc(NULL, 1, size);
            expect_aligned(q);
            p = d->realloc(NULL, p, size / 2);
            expect_aligned(p);
            d->free(NULL, p);
            d->free(NULL, q);
        }
        for (size_t size = 70000; size < 200u << 20; size *= 3) {
            char *p = d->malloc(NULL, size);
            expect_aligned(p);
            p[0] = p[size - 1] = 1;
            d->free(NULL, p);
        }
    }
}

BOTH_WAYS(requests_for_nothing_get_distinct_blocks)
{
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        void *p[4] = {d->malloc(NULL, 0), d->calloc(NULL, 0, 8),
                      d->calloc(NULL, 8, 0), d->realloc(NULL, NULL, 0)};
        for (unsigned i = 0; i < 4; i++) {
            EXPECT_NOT_NULL(p[i]);
            for (unsigned j = 0; j < i; j++) {
                EXPECT_PTR_NE(p[i], p[j]);
            }
        }
        for (unsigned i = 0; i < 4; i++) {
            d->free(NULL, p[i]);
        }
    }
}

BOTH_WAYS(realloc_to_nothing_is_not_a_free)
{
    const size_t sizes[] = {1, 100, 5000, 100000, 1 << 20, 40 << 20};
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            char *p = d->malloc(NULL, sizes[i]);
            EXPECT_NOT_NULL(p);
            p = d->realloc(NULL, p, 0);
            expect_aligned(p);
            void *other = d->malloc(NULL, 1);
            EXPECT_PTR_NE(p, other);
            d->free(NULL, p);
            d->free(NULL, other);
        }
    }
}

BOTH_WAYS(calloc_zeroes_recycled_memory)
{
    const size_t sizes[] = {1,    16,    100,   512,    513,
                            4000, 32768, 32769, 300000, 2 << 20};
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            char *dirty = d->malloc(NULL, sizes[i]);
            EXPECT_NOT_NULL(dirty);
            memset(dirty, 0xff, sizes[i]);
            d->free(NULL, dirty);
            char *p = d->calloc(NULL, sizes[i], 1);
            EXPECT_NOT_NULL(p);
            for (size_t at = 0; at < sizes[i]; at++) {
                EXPECT_EQ(p[at], 0);
            }
            d->free(NULL, p);
        }
    }
}

BOTH_WAYS(calloc_refuses_a_product_that_overflows)
{
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        EXPECT_NULL(d->calloc(NULL, SIZE_MAX / 2, 3));
        EXPECT_NULL(d->calloc(NULL, (size_t)1 << 32, (size_t)1 << 32));
        EXPECT_NULL(d->calloc(NULL, SIZE_MAX, SIZE_MAX));
        EXPECT_NULL(d->calloc(NULL, SIZE_MAX / 16 + 2, 16));
    }
}

BOTH_WAYS(impossible_sizes_get_null_and_change_nothing)
{
    const size_t sizes[] = {SIZE_MAX,        SIZE_MAX - 15,
                            PTRDIFF_MAX,     (size_t)PTRDIFF_MAX + 1,
                            PTRDIFF_MAX - 1, (size_t)PTRDIFF_MAX - 4096,
                            (size_t)1 << 62, (size_t)PTRDIFF_MAX / 2};
    const size_t olds[] = {10, 3000, 100000, 40 << 20};
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            EXPECT_NULL(d->malloc(NULL, sizes[i]));
            EXPECT_NULL(d->calloc(NULL, 1, sizes[i]));
            EXPECT_NULL(d->calloc(NULL, sizes[i], 1));
            for (unsigned j = 0; j < PIM_ARRAY_LEN(olds); j++) {
                char *p = d->malloc(NULL, olds[j]);
                p[0] = 1;
                p[olds[j] - 1] = 2;
                EXPECT_NULL(d->realloc(NULL, p, sizes[i]));
                EXPECT_EQ(p[0], 1);
                EXPECT_EQ(p[olds[j] - 1], 2);
                d->free(NULL, p);
            }
        }
    }
}

BOTH_WAYS(free_of_null_is_nothing)
{
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        d->free(NULL, NULL);
    }
}

BOTH_WAYS(realloc_keeps_the_content)
{
    const size_t steps[] = {1,       17,   16,       500,    513,
                            40,      9000, 32768,    32769,  300000,
                            600000,  40,   70000,    900000, 5000000,
                            9000000, 1000, 50 << 20, 1};
    for (const core_domain *d = core_domains; d < domains_end; d++) {
        unsigned char *p = d->malloc(NULL, 1);
        size_t filled = 0; // bytes that hold their index
        for (unsigned i = 0; i < PIM_ARRAY_LEN(steps); i++) {
            p = d->realloc(NULL, p, steps[i]);
            expect_aligned(p);
            filled = filled < steps[i] ? filled : steps[i];
            for (size_t at = 0; at < filled; at++) {
                EXPECT_EQ(p[at], at & 255);
            }
            for (size_t at = filled; at < steps[i]; at++) {
                p[at] = (unsigned char)at;
            }
            filled = steps[i];
        }
        d->free(NULL, p);
    }
}

ATTACHED(small_shrink_stays_in_place)
{
    char *p = pim_obj_malloc(NULL, 500);
    EXPECT_PTR_EQ(pim_obj_realloc(NULL, p, 460), p);
    EXPECT_PTR_EQ(pim_obj_realloc(NULL, p, 512), p);
    char *q = pim_obj_realloc(NULL, p, 400);
    EXPECT_PTR_NE(q, p);
    pim_obj_free(NULL, q);
}

ATTACHED(blocks_of_other_heaps_may_be_reallocated)
{
    fake_interp other;
    const size_t sizes[] = {20, 2000, 100000, 40 << 20};
    fake_interp_begin(&other, core_next_id());
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        char *p = pim_mem_malloc(NULL, sizes[i]);
        EXPECT_NOT_NULL(p);
        memset(p, 3, sizes[i]);
        fake_interp_detach(&interp);
        fake_interp_attach(&other);
        p = pim_mem_realloc(NULL, p, sizes[i] * 3);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ(p[sizes[i] - 1], 3);
        EXPECT_EQ(fake_figures(other.state->id).by_domain[0].live_blocks, 1);
        pim_mem_free(NULL, p);
        fake_interp_detach(&other);
        fake_interp_attach(&interp);
        EXPECT_EQ(fake_figures(interp.state->id).by_domain[0].live_blocks, 0);
        EXPECT_EQ(fake_figures(interp.state->id).by_domain[0].live_bytes, 0);
    }
    fake_interp_end(&other);
}

// --- without a thread state ------------------------------------------------------

ATTACHED(without_a_thread_state_the_process_heap_serves)
{
    fake_interp_swap(NULL);
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    void *small = pim_obj_malloc(NULL, 32);
    void *large = pim_mem_malloc(NULL, 100000);
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_bytes,
              before.by_domain[OBJ].live_bytes + 32);
    EXPECT_EQ(now.by_domain[MEM].live_blocks,
              before.by_domain[MEM].live_blocks + 1);
    pim_obj_free(NULL, small);
    pim_mem_free(NULL, large);
    now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[0].live_bytes, before.by_domain[0].live_bytes);
    EXPECT_EQ(now.by_domain[1].live_bytes, before.by_domain[1].live_bytes);
}

// --- raw ---------------------------------------------------------------------------

static void *
allocate_raw(void *out)
{
    *(void **)out = pim_raw_malloc(NULL, 5000);
    return NULL;
}

TEST(raw_counts_of_an_ended_thread_stay)
{
    pim_usage before = raw_now();
    void *block = NULL;
    team_alone(allocate_raw, &block);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks + 1);
    EXPECT_GE(raw_now().live_bytes, before.live_bytes + 5000);
    pim_raw_free(NULL, block);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
}

TEST(raw_peak_of_one_thread_is_exact)
{
    enum { N = 3000 };
    static void *blocks[N];
    pim_usage full;
    core_fill(PIM_RAW, blocks, N, 200);
    full = raw_now(); // more blocks than any other test has
    EXPECT_EQ(full.peak_blocks, full.live_blocks);
    core_free_all(PIM_RAW, blocks, N);
    EXPECT_EQ(raw_now().peak_blocks, full.peak_blocks);
    EXPECT_EQ(raw_now().peak_bytes, full.peak_bytes);
    EXPECT_EQ(raw_now().live_blocks, full.live_blocks - N);
}

TEST(raw_is_accounted_exactly)
{
    uint64_t bytes = raw_now().live_bytes;
    uint64_t blocks = raw_now().live_blocks;
    void *p = pim_raw_malloc(NULL, 1000);
    EXPECT_GE(raw_now().live_bytes, bytes + 1000);
    EXPECT_EQ(raw_now().live_blocks, blocks + 1);
    p = pim_raw_realloc(NULL, p, 100000);
    EXPECT_GE(raw_now().live_bytes, bytes + 100000);
    EXPECT_EQ(raw_now().live_blocks, blocks + 1);
    pim_raw_free(NULL, p);
    p = pim_raw_calloc(NULL, 3, 7);
    pim_raw_free(NULL, p);
    EXPECT_EQ(raw_now().live_bytes, bytes);
    EXPECT_EQ(raw_now().live_blocks, blocks);
}

TEST(raw_takes_pointers_of_libc)
{
    uint64_t blocks = raw_now().live_blocks;
    char *p = malloc(100);
    memset(p, 7, 100);
    p = pim_raw_realloc(NULL, p, 200);
    EXPECT_EQ(p[99], 7);
    EXPECT_EQ(raw_now().live_blocks, blocks + 1);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, malloc(100));
    EXPECT_EQ(raw_now().live_blocks, blocks);
}

TEST(raw_on_libc_is_libc)
{
    pim_raw_set_source(PIM_RAW_LIBC, (pim_raw_table){0});
    uint64_t bytes = raw_now().live_bytes;
    char *p = pim_raw_malloc(NULL, 100);
    p = pim_raw_realloc(NULL, p, 3000);
    EXPECT_GE(raw_now().live_bytes, bytes + 3000);
    pim_raw_free(NULL, p);
    EXPECT_EQ(raw_now().live_bytes, bytes);
    pim_raw_free(NULL, malloc(5)); // made while the table was swapped
    free(pim_raw_malloc(NULL, 5));
    pim_raw_set_source(PIM_RAW_MIMALLOC, (pim_raw_table){0});
}

// --- foreign pointers ----------------------------------------------------------------

BOTH_WAYS(foreign_pointers_are_left_alone_and_counted)
{
    char *p = malloc(100);
    uint64_t before = pim_load_relaxed(&pim_foreign_frees);
    memset(p, 9, 100);
    pim_obj_free(NULL, p);
    pim_mem_free(NULL, p);
    EXPECT_NULL(pim_obj_realloc(NULL, p, 10));
    EXPECT_EQ(p[99], 9);
    EXPECT_EQ(pim_load_relaxed(&pim_foreign_frees), before + 2);
    free(p);
}

// --- a main stretch that is used up --------------------------------------------------------

SUITE(.set_up = core_set_up)
