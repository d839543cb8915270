// test_raw_owner.c -- raw blocks belong to the interpreter that was current when
// they were allocated, and to the process if none was.

#define _GNU_SOURCE

#include <string.h>

#include "domain/raw_small.h"
#include "interp/figures.h"
#include "interp/find_owner.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/raw_world.h"
#include "support/team.h"

static fake_interp *const a = &raw_world.a;
static fake_interp *const b = &raw_world.b;

// --- whose account -----------------------------------------------------------

TEST(blocks_are_in_the_account_of_the_current_interpreter)
{
    uint64_t bytes = raw_allocate_all();
    raw_expect(raw_of_interp(a), bytes, RAW_BLOCKS);
    raw_expect(raw_of_interp(b), 0, 0);
    raw_expect_process_as_before();
    pim_figures f = fake_figures(a->state->id);
    EXPECT_GE(f.by_domain[RAW].peak_bytes, bytes);
    EXPECT_GE(f.committed_bytes, bytes);
    for (unsigned i = 0; i < RAW_BLOCKS; i++) {
        int64_t id = -7;
        EXPECT(pim_heap_find_owner(raw_blocks[i], &id));
        EXPECT_EQ(id, a->state->id);
    }
    raw_free_all();
    raw_expect(raw_of_interp(a), 0, 0);
    EXPECT_EQ(fake_figures(a->state->id).remote_frees, 0);
    raw_audit(a);
}

TEST(without_a_thread_state_they_are_in_that_of_the_process)
{
    fake_interp_swap(NULL);
    uint64_t bytes = raw_allocate_all();
    raw_expect(raw_of(PIM_PROCESS_ID), raw_world.process.bytes + bytes,
               raw_world.process.blocks + RAW_BLOCKS);
    raw_expect(raw_of_interp(a), 0, 0);
    raw_free_all();
    raw_expect_process_as_before();
    uint64_t looks = fake_look_calls();
    for (unsigned i = 0; i < 1000; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 50));
    }
    EXPECT_LE(fake_look_calls(), looks + 1); // it is remembered
}

TEST(a_raw_request_makes_no_interpreter_known)
{
    pim_figures ignored;
    fake_interp fresh;
    fake_interp_swap(NULL);
    fake_interp_begin(&fresh, core_next_id());
    raw_world.process = raw_of(PIM_PROCESS_ID);
    fake_interp_swap(&fresh);
    void *early = pim_raw_malloc(NULL, 100);
    EXPECT(!pim_registry_figures(fresh.state->id, &ignored));
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, raw_world.process.blocks + 1);
    raw_be_born(&fresh);
    void *late = pim_raw_malloc(NULL, 100);
    EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, raw_world.process.blocks + 1);
    EXPECT_EQ(raw_of(fresh.state->id).blocks, 1);
    pim_raw_free(NULL, early);
    raw_expect_process_as_before();
    pim_raw_free(NULL, late);
    EXPECT_EQ(raw_of(fresh.state->id).blocks, 0);
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
}

TEST(a_known_interpreter_is_recognised_by_a_raw_request)
{
    fake_interp other;
    fake_interp_swap(NULL);
    fake_interp_begin(&other, core_next_id());
    fake_interp_end(&other); // no thread remembers anything now
    fake_interp_swap(a);
    uint64_t calls = fake_resolve_calls();
    void *p = pim_raw_malloc(NULL, 100);
    EXPECT_EQ(raw_of_interp(a).blocks, 1);
    pim_raw_free(NULL, p);
    EXPECT_EQ(fake_resolve_calls(), calls);
    uint64_t looks = fake_look_calls();
    for (unsigned i = 0; i < 1000; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 100));
    }
    EXPECT_EQ(fake_look_calls(), looks);
}

TEST(threads_without_a_word_are_told_apart_likewise)
{
    fake_python_hide_word(true);
    blocks_are_in_the_account_of_the_current_interpreter(NULL);
    fake_interp_swap(NULL);
    uint64_t bytes = raw_allocate_all();
    raw_expect(raw_of(PIM_PROCESS_ID), raw_world.process.bytes + bytes,
               raw_world.process.blocks + RAW_BLOCKS);
    raw_free_all();
    raw_expect_process_as_before();
    fake_python_hide_word(false);
}

TEST(a_swap_of_thread_states_is_noticed_at_once)
{
    void *p[3];
    for (unsigned i = 0; i < 10; i++) {
        fake_interp_swap(a);
        p[0] = pim_raw_malloc(NULL, 64);
        fake_interp_swap(b);
        p[1] = pim_raw_malloc(NULL, 64);
        fake_interp_swap(NULL);
        p[2] = pim_raw_malloc(NULL, 64);
        EXPECT_EQ(raw_of_interp(a).blocks, 1);
        EXPECT_EQ(raw_of_interp(b).blocks, 1);
        EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks, raw_world.process.blocks + 1);
        for (unsigned k = 0; k < 3; k++) {
            pim_raw_free(NULL, p[k]);
        }
        EXPECT_EQ(raw_of_interp(a).blocks, 0);
        EXPECT_EQ(raw_of_interp(b).blocks, 0);
        raw_expect_process_as_before();
    }
}

TEST(a_legacy_interpreters_blocks_are_mains)
{
    fake_interp legacy;
    fake_interp_swap(NULL);
    fake_interp_begin_legacy(&legacy, core_next_id());
    raw_be_born(&legacy);
    raw_usage before = raw_of(FAKE_MAIN);
    void *p = pim_raw_malloc(NULL, 300);
    EXPECT_EQ(raw_of(FAKE_MAIN).blocks, before.blocks + 1);
    pim_raw_free(NULL, p);
    EXPECT_EQ(raw_of(FAKE_MAIN).blocks, before.blocks);
    fake_interp_swap(NULL);
    fake_interp_end(&legacy);
}

// --- frees by others ---------------------------------------------------------

TEST(another_interpreter_may_free_them)
{
    uint64_t bytes = raw_allocate_all();
    raw_expect(raw_of_interp(a), bytes, RAW_BLOCKS);
    fake_interp_swap(b);
    raw_free_all();
    raw_expect(raw_of_interp(a), 0, 0);
    raw_expect(raw_of_interp(b), 0, 0);
    EXPECT_EQ(fake_figures(a->state->id).remote_frees, RAW_BLOCKS);
    raw_audit(a);
}

static void *
free_without_thread_state(void *arg)
{
    (void)arg;
    raw_free_all();
    return NULL;
}

TEST(a_thread_without_a_thread_state_may_free_them)
{
    uint64_t bytes = raw_allocate_all();
    raw_expect(raw_of_interp(a), bytes, RAW_BLOCKS);
    team_alone(free_without_thread_state, NULL);
    raw_expect(raw_of_interp(a), 0, 0);
    raw_expect_process_as_before();
    raw_audit(a);
}

TEST(blocks_that_others_freed_are_used_again)
{
    enum { BLOCKS = 2000 };
    static void *many[BLOCKS];
    uint64_t pages = 0;
    for (unsigned round = 0; round < 20; round++) {
        fake_interp_swap(a);
        core_fill(PIM_RAW, many, BLOCKS, 200);
        pages = round == 1 ? fake_figures(a->state->id).pages : pages;
        fake_interp_swap(NULL);
        core_free_all(PIM_RAW, many, BLOCKS);
    }
    EXPECT_LE(fake_figures(a->state->id).pages, pages + 1);
    raw_expect(raw_of_interp(a), 0, 0);
}

TEST(an_interpreter_may_free_blocks_of_the_process)
{
    fake_interp_swap(NULL);
    raw_allocate_all();
    fake_interp_swap(a);
    raw_free_all();
    raw_expect_process_as_before();
    raw_expect(raw_of_interp(a), 0, 0);
    pim_raw_small_audit();
}

// --- realloc -----------------------------------------------------------------

TEST(a_block_that_moves_is_the_callers)
{
    static const size_t grown[] = {100, 600, 5000, 40000, 200000, 3u << 20, 50};
    char *p = pim_raw_malloc(NULL, 1);
    size_t size = 1;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(grown); i++) {
        fake_interp_swap(i % 3 == 0 ? NULL : i % 3 == 1 ? a : b);
        memset(p, (int)i + 1, size);
        p = pim_raw_realloc(NULL, p, grown[i]);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ(p[(size < grown[i] ? size : grown[i]) - 1], (char)(i + 1));
        size = grown[i];
        EXPECT_EQ(raw_of(PIM_PROCESS_ID).blocks,
                  raw_world.process.blocks + (i % 3 == 0));
        raw_expect(raw_of_interp(a), i % 3 == 1 ? raw_usable(p) : 0,
                   i % 3 == 1);
        raw_expect(raw_of_interp(b), i % 3 == 2 ? raw_usable(p) : 0,
                   i % 3 == 2);
    }
    pim_raw_free(NULL, p);
    raw_expect_process_as_before();
}

TEST(an_owned_block_grows_in_its_map)
{
    size_t size = 2u << 20;
    char *p = pim_raw_malloc(NULL, 100);
    p = pim_raw_realloc(NULL, p, size);
    memset(p, 5, size);
    for (unsigned i = 0; i < 20; i++) {
        p = pim_raw_realloc(NULL, p, size + size / 8);
        EXPECT_EQ(p[size - 1], 5);
        size += size / 8;
        memset(p, 5, size);
        raw_expect(raw_of_interp(a), raw_usable(p), 1);
    }
    EXPECT_NULL(pim_raw_realloc(NULL, p, PIM_REQUEST_MAX));
    p = pim_raw_realloc(NULL, p, 10);
    EXPECT_EQ(p[9], 5);
    raw_expect(raw_of_interp(a), 16, 1);
    pim_raw_free(NULL, p);
}

SUITE(.set_up = core_set_up, .begin = raw_world_begin, .end = raw_world_end)
