// test_lives.c -- numbers of heaps' lives, and tags that bear them.

#define _GNU_SOURCE

#include <malloc.h>
#include <stdlib.h>

#include "domain/domain.h"
#include "domain/raw_tag.h"
#include "interp/lives.h"
#include "interp/registry.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/raw_world.h"
#include "support/tsan.h"

static char place[4][4096]; // of interpreters

static pim_heap *
birth(unsigned at)
{
    return pim_registry_birth(place[at], core_next_id(),
                              fake_python_generation(), NULL, NULL);
}

static void
end(unsigned at)
{
    EXPECT(pim_registry_end(place[at], sizeof(place[at])));
}

static uint32_t
life_of(const pim_heap *heap)
{
    return pim_load_relaxed(&heap->life);
}

static pim_heap *
living(uint32_t life)
{
    pim_gate_enter();
    pim_heap *heap = pim_life_heap(life);
    pim_gate_exit();
    return heap;
}

TEST(a_life_is_found_by_its_number_until_it_ends)
{
    pim_heap *heap = birth(0);
    uint32_t life = life_of(heap);
    EXPECT_NE(life, 0);
    EXPECT_PTR_EQ(living(life), heap);
    end(0);
    EXPECT_NULL(living(life));
    EXPECT_NULL(living(0));
    EXPECT_PTR_EQ(birth(0), heap); // the same record
    EXPECT_NE(life_of(heap), life);
    EXPECT_NULL(living(life));
    EXPECT_PTR_EQ(living(life_of(heap)), heap);
    end(0);
}

TEST(a_place_that_is_taken_is_passed_over)
{
    pim_heap *first = birth(0);
    uint32_t life = life_of(first);
    pim_life_last = life + PIM_LIFE_PLACES - 1;
    pim_heap *second = birth(1);
    EXPECT_EQ(life_of(second), life + PIM_LIFE_PLACES + 1);
    EXPECT_PTR_EQ(living(life), first);
    EXPECT_NULL(living(life + PIM_LIFE_PLACES));
    end(0);
    end(1);
}

TEST(no_life_is_number_0)
{
    pim_life_last = UINT32_MAX - 1;
    pim_heap *last = birth(0);
    EXPECT_EQ(life_of(last), UINT32_MAX);
    pim_heap *first = birth(1);
    EXPECT_EQ(life_of(first), 1);
    EXPECT_PTR_EQ(living(UINT32_MAX), last);
    EXPECT_PTR_EQ(living(1), first);
    end(0);
    end(1);
}

TEST(what_lives_without_a_number_is_counted_for_the_process)
{
    static char far[PIM_LIVES_MAX + 1][512]; // as far apart as states
    for (unsigned i = 0; i < PIM_LIVES_MAX; i++) {
        EXPECT_NE(
            life_of(pim_registry_birth(far[i], core_next_id(),
                                       fake_python_generation(), NULL, NULL)),
            0);
    }
    int64_t id = core_next_id();
    pim_heap *more = pim_registry_birth(far[PIM_LIVES_MAX], id,
                                        fake_python_generation(), NULL, NULL);
    EXPECT_EQ(life_of(more), 0);
    pim_raw_set_source(PIM_RAW_LIBC, (pim_raw_table){0});
    void *block = malloc(200);
    raw_usage before = raw_of(PIM_PROCESS_ID);
    pim_raw_tag_put(more, block, malloc_usable_size(block));
    EXPECT_EQ(raw_of(id).blocks, 0);
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, before.blocks + 1);
    pim_raw_free(NULL, block);
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, before.blocks);
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
    for (unsigned i = 0; i <= PIM_LIVES_MAX; i++) {
        EXPECT(pim_registry_end(far[i], sizeof(far[i])));
    }
}

// The number of lives that serials in tags could tell apart before.
#define LIVES_BEFORE (1u << 18)

TEST(regress_a_tag_of_many_lives_ago_is_not_mistaken)
{
    fake_interp interp;
    pim_raw_set_source(PIM_RAW_LIBC, (pim_raw_table){0});
    fake_interp_begin(&interp, core_next_id());
    raw_be_born(&interp);
    void *block = pim_raw_malloc(NULL, 100);
    const pim_heap *heap = fake_current_heap();
    uint64_t serial = pim_load_relaxed(&heap->serial);
    raw_usage process = raw_of(PIM_PROCESS_ID);
    fake_interp_swap(NULL);
    fake_interp_end(&interp); // whose block is the process's
    unsigned lives = PIM_TSAN ? 1000 : LIVES_BEFORE - 1;
    for (unsigned i = 0; i < lives; i++) {
        birth(0);
        end(0);
    }
    fake_interp_begin(&interp, core_next_id());
    raw_be_born(&interp);
    EXPECT_PTR_EQ(fake_current_heap(), heap); // the same record again
    EXPECT_EQ(pim_load_relaxed(&heap->serial), serial + lives + 1);
    void *own = pim_raw_malloc(NULL, 100);
    EXPECT_EQ(raw_of_interp(&interp).blocks, 1);
    pim_raw_free(NULL, block);
    EXPECT_EQ(raw_of_interp(&interp).blocks, 1);
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, process.blocks);
    pim_raw_free(NULL, own);
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
}

SUITE(.set_up = core_set_up)
