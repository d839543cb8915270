// test_trace.c -- what is traced is what lives, and where it was asked for.

#include <errno.h>
#include <string.h>

#include "hooks/side.h"
#include "hooks/stage.h"
#include "support/fake_mi.h"
#include "support/raw_world.h"

static fake_interp *const a = &raw_world.a;
static fake_interp *const b = &raw_world.b;
static stage_code *code;

static const size_t sizes[] = {
    0, 1, 100, 512, 2000, 30000, 100000, 1500000, (size_t)4 << 20};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static int
begin(void **state)
{
    raw_world_begin(state);
    code = stage_make("work", 100);
    stage_call(code, 1);
    return 0;
}

static int
end(void **state)
{
    while (pimalloc_trace_stop(PIMALLOC_EACH) == 0 ||
           pimalloc_trace_stop(a->state != NULL ? a->state->id : 0) == 0) {
    }
    fake_interp_swap(a);
    stage_return();
    stage_unmake(code);
    EXPECT_EQ(pim_side_bytes(), 0);
    return raw_world_end(state);
}

static void
start(int64_t interp, unsigned frames)
{
    EXPECT_EQ(pimalloc_trace_start(interp, frames), 0);
}

static void
end_trace(int64_t interp)
{
    EXPECT_EQ(pimalloc_trace_stop(interp), 0);
}

// --- records -----------------------------------------------------------------

static void
follow(unsigned d, int64_t id)
{
    for (unsigned i = 0; i < SIZES; i++) {
        stage_step(i);
        void *p = core_domains[d].malloc(NULL, sizes[i]);
        void *q = core_domains[d].calloc(NULL, 1, sizes[i]);
        pimalloc_traced t = stage_find(p);
        EXPECT_EQ(t.bytes, sizes[i]);
        EXPECT_EQ(t.domain, d);
        EXPECT_EQ(t.interp, id);
        EXPECT_EQ(stage_find(q).stack, t.stack);
        stage_expect_live(id, 2, 2 * sizes[i]);
        core_domains[d].free(NULL, p);
        EXPECT(!stage_is_traced(p));
        stage_expect_live(id, 1, sizes[i]);
        core_domains[d].free(NULL, q);
        stage_expect_live(id, 0, 0);
    }
}

TEST(blocks_of_each_domain_and_size_are_traced_while_they_live)
{
    start(PIMALLOC_EACH, 1);
    for (unsigned d = 0; d < 3; d++) {
        follow(d, a->state->id);
    }
    fake_interp_swap(NULL);
    for (unsigned d = 0; d < 3; d++) {
        follow(d, PIM_PROCESS_ID);
    }
    fake_interp_swap(a);
}

TEST(all_ways_of_realloc_are_followed)
{
    start(PIMALLOC_EACH, 1);
    for (unsigned d = 0; d < 3; d++) {
        for (unsigned i = 0; i < SIZES; i++) {
            for (unsigned j = 0; j < SIZES; j++) {
                stage_step(1);
                void *p = core_domains[d].malloc(NULL, sizes[i]);
                stage_step(2);
                p = core_domains[d].realloc(NULL, p, sizes[j]);
                stage_expect_at(p, "work", 102);
                stage_expect_live(a->state->id, 1, sizes[j]);
                core_domains[d].free(NULL, p);
                stage_expect_live(a->state->id, 0, 0);
            }
        }
    }
}

TEST(a_realloc_that_fails_leaves_the_record)
{
    start(a->state->id, 1);
    for (unsigned d = 1; d < 3; d++) {
        for (unsigned i = 0; i < SIZES; i++) {
            stage_step(1);
            void *p = core_domains[d].malloc(NULL, sizes[i]);
            stage_step(2);
            EXPECT_NULL(core_domains[d].realloc(NULL, p, (size_t)1 << 62));
            stage_expect_at(p, "work", 101);
            stage_expect_live(a->state->id, 1, sizes[i]);
            core_domains[d].free(NULL, p);
        }
    }
}

TEST(others_free_and_resize)
{
    start(PIMALLOC_EACH, 1);
    void *first = pim_obj_malloc(NULL, 40);
    void *second = pim_obj_malloc(NULL, 50);
    void *third = pim_mem_malloc(NULL, 100000);
    fake_interp_swap(b);
    void *mine = pim_obj_malloc(NULL, 4000);
    pim_obj_free(NULL, first);
    stage_expect_live(a->state->id, 2, 100050);
    // The block moves to this heap, whose page has records of its own.
    second = pim_obj_realloc(NULL, second, 4000);
    EXPECT_EQ(stage_find(second).interp, b->state->id);
    EXPECT_EQ(stage_find(mine).bytes, 4000);
    stage_expect_live(b->state->id, 2, 8000);
    fake_interp_swap(NULL);
    pim_mem_free(NULL, third);
    stage_expect_live(a->state->id, 0, 0);
    fake_interp_swap(a);
    pim_obj_free(NULL, second);
    pim_obj_free(NULL, mine);
    stage_expect_live(PIMALLOC_EACH, 0, 0);
}

// Where only one is traced, what leaves it is not, and what comes neither.
TEST(a_trace_of_one_interpreter_is_of_that_one)
{
    start(a->state->id, 1);
    void *p = pim_obj_malloc(NULL, 40);
    fake_interp_swap(b);
    p = pim_obj_realloc(NULL, p, 2000);
    EXPECT(!stage_is_traced(p));
    stage_expect_live(a->state->id, 0, 0);
    fake_interp_swap(a);
    pim_obj_free(NULL, p);
    void *q = pim_obj_malloc(NULL, 100000);
    fake_interp_swap(b);
    q = pim_obj_realloc(NULL, q, 110000); // stays, by a stranger
    if (stage_is_traced(q)) {
        stage_expect_at(q, "", 0);
    }
    pim_obj_free(NULL, q);
    fake_interp_swap(a);
    stage_expect_live(a->state->id, 0, 0);
}

TEST(what_was_there_before_is_not_traced)
{
    void *small = pim_obj_malloc(NULL, 40);
    void *large = pim_obj_malloc(NULL, 100000);
    start(a->state->id, 1);
    pim_obj_free(NULL, large);
    small = pim_obj_realloc(NULL, small, 41); // now it is
    stage_expect_live(a->state->id, 1, 41);
    pim_obj_free(NULL, small);
    stage_expect_live(a->state->id, 0, 0);
}

// --- figures -----------------------------------------------------------------

TEST(peaks_rise_and_are_reset)
{
    start(a->state->id, 1);
    void *p = pim_obj_malloc(NULL, 1000);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 500));
    EXPECT_EQ(stage_figures(a->state->id).peak_bytes, 1500);
    EXPECT_EQ(stage_figures(a->state->id).frames, 1);
    EXPECT_EQ(stage_figures(b->state->id).frames, 0);
    pimalloc_trace_reset_peak(a->state->id);
    EXPECT_EQ(stage_figures(a->state->id).peak_bytes, 1000);
    pim_obj_free(NULL, p);
    EXPECT_EQ(stage_figures(a->state->id).peak_bytes, 1000);
    pimalloc_trace_reset_peak(PIMALLOC_EACH);
    EXPECT_EQ(stage_figures(a->state->id).peak_bytes, 0);
}

TEST(clear_forgets_and_goes_on)
{
    start(PIMALLOC_EACH, 2);
    void *p = pim_obj_malloc(NULL, 1000);
    void *large = pim_raw_malloc(NULL, 3000000);
    EXPECT_EQ(pimalloc_trace_clear(PIMALLOC_EACH), 0);
    stage_expect_live(PIMALLOC_EACH, 0, 0);
    EXPECT_EQ(stage_figures(a->state->id).peak_bytes, 0);
    void *q = pim_obj_malloc(NULL, 1000);
    stage_expect_at(q, "work", 101);
    pim_obj_free(NULL, p);
    pim_raw_free(NULL, large);
    stage_expect_live(a->state->id, 1, 1000);
    pim_obj_free(NULL, q);
    EXPECT_EQ(pimalloc_trace_clear(a->state->id), -ENOENT);
}

TEST(blocks_without_a_record_are_counted)
{
    start(a->state->id, 1);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 777)); // its page is there
    EXPECT_EQ(pimalloc_trace_clear(a->state->id), 0);
    fake_mi_fail(1, true);
    void *p = pim_obj_malloc(NULL, 777);
    fake_mi_heal();
    EXPECT_NOT_NULL(p);
    EXPECT_EQ(stage_figures(a->state->id).lost, 1);
    EXPECT(!stage_is_traced(p));
    pim_obj_free(NULL, p);
    stage_expect_live(a->state->id, 0, 0);
}

// --- stacks ------------------------------------------------------------------

TEST(so_many_frames_are_kept_newest_first)
{
    pimalloc_frame frames[8];
    size_t total;
    start(a->state->id, 3);
    for (unsigned i = 0; i < 5; i++) {
        stage_call(code, 10 + i);
    }
    void *p = pim_obj_malloc(NULL, 10);
    EXPECT_EQ(pimalloc_trace_stack(stage_find(p).stack, frames, 8, &total), 3);
    EXPECT_EQ(total, 6);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(frames[i].line, 114 - (int)i);
    }
    for (unsigned i = 0; i < 5; i++) {
        stage_return();
    }
    pim_obj_free(NULL, p);
}

TEST(who_has_no_frames_is_unknown)
{
    start(PIMALLOC_EACH, 3);
    stage_return();
    void *p = pim_obj_malloc(NULL, 10);
    stage_expect_at(p, "", 0);
    fake_interp_swap(NULL);
    void *q = pim_obj_malloc(NULL, 10);
    EXPECT_EQ(stage_find(q).stack, stage_find(p).stack);
    fake_interp_swap(a);
    pim_obj_free(NULL, p);
    pim_obj_free(NULL, q);
    stage_call(code, 1);
}

// The address comes back, with other code.
static void
expect_own_names(size_t padding)
{
    const void *first = NULL;
    unsigned again = 0;
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        stage_code *fresh = stage_make(name, i);
        if (padding != 0) { // a code object in a span
            stage_code *larger = pim_obj_malloc(NULL, padding);
            memcpy(larger, fresh, sizeof(*larger));
            stage_unmake(fresh);
            fresh = larger;
        }
        again += fresh == first;
        first = fresh;
        stage_call(fresh, 3);
        void *p = pim_obj_malloc(NULL, 100);
        stage_expect_at(p, name, i + 3);
        pim_obj_free(NULL, p);
        stage_return();
        stage_unmake(fresh);
    }
    EXPECT_GT(again, 10);
}

TEST(code_that_dies_is_not_mistaken_for_what_comes_there)
{
    start(a->state->id, 2);
    expect_own_names(0);
    expect_own_names(60000);
    stage_expect_live(a->state->id, 0, 0);
}

TEST(nor_is_code_that_was_there_before_the_trace)
{
    static const size_t paddings[] = {sizeof(stage_code), 60000};
    for (unsigned i = 0; i < 2; i++) {
        stage_code *old = pim_obj_malloc(NULL, paddings[i]);
        *old = (stage_code){.function = "old", .first_line = 7};
        start(a->state->id, 2);
        stage_call(old, 0);
        void *p = pim_obj_malloc(NULL, 100);
        stage_expect_at(p, "old", 7);
        stage_return();
        stage_unmake(old);
        stage_code *fresh = pim_obj_malloc(NULL, paddings[i]);
        EXPECT_PTR_EQ(fresh, old);
        *fresh = (stage_code){.function = "new", .first_line = 9};
        stage_call(fresh, 0);
        void *q = pim_obj_malloc(NULL, 100);
        stage_expect_at(q, "new", 9);
        stage_return();
        stage_unmake(fresh);
        pim_obj_free(NULL, p);
        pim_obj_free(NULL, q);
        end_trace(a->state->id);
    }
}

TEST(a_block_is_labelled_anew)
{
    start(a->state->id, 1);
    void *p = pim_obj_malloc(NULL, 100);
    stage_step(9);
    pimalloc_trace_relabel((char *)p + 16);
    stage_expect_at(p, "work", 109);
    EXPECT_EQ(stage_find(p).bytes, 100);
    fake_interp_swap(b); // whose objects are its own
    stage_step(10);
    pimalloc_trace_relabel(p);
    fake_interp_swap(a);
    stage_expect_at(p, "work", 109);
    pim_obj_free(NULL, p);
    pimalloc_trace_relabel(p); // not traced
    pimalloc_trace_relabel(&code);
    stage_expect_live(a->state->id, 0, 0);
    end_trace(a->state->id);
    pimalloc_trace_relabel(p);
}

TEST(strings_stay_while_they_are_held)
{
    pimalloc_frame frame;
    size_t total;
    start(a->state->id, 1);
    void *p = pim_obj_malloc(NULL, 100);
    uint32_t stack = stage_find(p).stack;
    pimalloc_trace_hold();
    pimalloc_trace_hold();
    end_trace(a->state->id);
    EXPECT(!stage_is_traced(p));
    pimalloc_trace_release();
    EXPECT_EQ(pimalloc_trace_stack(stack, &frame, 1, &total), 1);
    EXPECT_EQ(strcmp(frame.function, "work"), 0);
    EXPECT_GT(stage_figures(PIMALLOC_EACH).table_bytes, 0);
    pimalloc_trace_release();
    EXPECT_EQ(stage_figures(PIMALLOC_EACH).table_bytes, 0);
    EXPECT_EQ(pimalloc_trace_stack(0, &frame, 1, &total), 0);
    pim_obj_free(NULL, p);
}

// --- starts and stops --------------------------------------------------------

TEST(starts_that_cannot_be_are_refused)
{
    int64_t id = a->state->id;
    EXPECT_EQ(pimalloc_trace_start(id, 0), -EINVAL);
    EXPECT_EQ(pimalloc_trace_start(id, PIMALLOC_TRACE_FRAMES_MAX + 1), -EINVAL);
    EXPECT_EQ(pimalloc_trace_start(-3, 1), -EINVAL);
    EXPECT_EQ(pimalloc_trace_stop(id), -ENOENT);
    EXPECT_EQ(pimalloc_trace_clear(id), -ENOENT);
    stage_is_hidden = true;
    EXPECT_EQ(pimalloc_trace_start(id, 1), -ENOTSUP);
    EXPECT_NOT_NULL(pimalloc_trace_why());
    stage_is_hidden = false;
    start(id, 1);
    EXPECT_EQ(pimalloc_trace_start(id, 1), -EALREADY);
    EXPECT_EQ(pimalloc_trace_start(PIMALLOC_EACH, 1), -EALREADY);
    start(b->state->id, 1);
    start(PIMALLOC_PROCESS, 1);
    end_trace(b->state->id);
    end_trace(PIMALLOC_PROCESS);
    end_trace(id);
    start(PIMALLOC_EACH, 1);
    EXPECT_EQ(pimalloc_trace_start(id, 1), -EALREADY);
    EXPECT_EQ(pimalloc_trace_stop(id), -ENOENT);
}

TEST(a_trace_that_is_over_makes_room)
{
    for (unsigned i = 0; i < 3 * PIMALLOC_HOOKS_MAX; i++) {
        fake_interp guest;
        fake_interp_swap(NULL);
        fake_interp_start(&guest);
        start(guest.state->id, 1);
        (void)pim_obj_malloc(NULL, 100);
        fake_interp_stop(&guest);
        fake_interp_swap(a);
    }
    start(PIMALLOC_EACH, 1); // the last of them are in nobody's way
}

SUITE(.set_up = stage_set_up, .begin = begin, .end = end)
