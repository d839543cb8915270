// test_fault.c -- rules fail what they say, nothing else, and count it.

#include <errno.h>
#include <string.h>

#include "hooks/fault.h"
#include "heap/admit.h"
#include "hooks/chain.h"
#include "support/core.h"
#include "support/raw_world.h"
#include "support/team.h"

static fake_interp *const a = &raw_world.a;
static fake_interp *const b = &raw_world.b;

static int
begin(void **state)
{
    pim_chain_start();
    return raw_world_begin(state);
}

static pimalloc_fault
of_a(void)
{
    return (pimalloc_fault){.size = sizeof(pimalloc_fault),
                            .interp = a->state->id};
}

static int
add(pimalloc_fault fault)
{
    int handle = pimalloc_fault_add(&fault);
    EXPECT(handle > 0);
    return handle;
}

static void
expect_counts(int handle, uint64_t matched, uint64_t failed)
{
    uint64_t counts[2];
    EXPECT_EQ(pimalloc_fault_counts(handle, &counts[0], &counts[1]), 0);
    EXPECT_EQ(counts[0], matched);
    EXPECT_EQ(counts[1], failed);
}

static void
end(int handle, uint64_t matched, uint64_t failed)
{
    uint64_t counts[2];
    EXPECT_EQ(pimalloc_fault_remove(handle, &counts[0], &counts[1]), 0);
    EXPECT_EQ(counts[0], matched);
    EXPECT_EQ(counts[1], failed);
    EXPECT_EQ(pimalloc_fault_remove(handle, NULL, NULL), -ENOENT);
    EXPECT_EQ(pimalloc_fault_counts(handle, NULL, NULL), -ENOENT);
}

// Whether a request of the domain fails.
static bool
fails_in(unsigned domain, size_t size)
{
    void *block = core_domains[domain].malloc(NULL, size);
    core_domains[domain].free(NULL, block);
    return block == NULL;
}

static bool
fails(size_t size)
{
    return fails_in(PIM_OBJ, size);
}

// --- which of them -----------------------------------------------------------

TEST(the_nth_fails_once)
{
    pimalloc_fault fault = of_a();
    fault.nth = 5;
    int handle = add(fault);
    for (unsigned i = 1; i <= 20; i++) {
        EXPECT_EQ(fails(32), i == 5);
    }
    end(handle, 20, 1);
    EXPECT(!fails(32));
}

TEST(every_third_fails)
{
    pimalloc_fault fault = of_a();
    fault.every = 3;
    int handle = add(fault);
    for (unsigned i = 1; i <= 20; i++) {
        EXPECT_EQ(fails(32), i % 3 == 0);
    }
    end(handle, 20, 6);
}

#define DRAWS 4000

static unsigned
draw(double probability, uint64_t seed, bool *drawn)
{
    pimalloc_fault fault = of_a();
    unsigned count = 0;
    fault.probability = probability;
    fault.seed = seed;
    int handle = add(fault);
    for (unsigned i = 0; i < DRAWS; i++) {
        drawn[i] = fails(32);
        count += drawn[i];
    }
    end(handle, DRAWS, count);
    return count;
}

// Within five standard deviations.
TEST(some_fail_as_the_seed_says)
{
    static bool once[DRAWS], again[DRAWS], other[DRAWS];
    unsigned count = draw(0.1, 7, once);
    EXPECT_EQ(draw(0.1, 7, again), count);
    EXPECT_EQ(memcmp(once, again, sizeof(once)), 0);
    EXPECT_GE(count, DRAWS / 10 - 95);
    EXPECT_LE(count, DRAWS / 10 + 95);
    draw(0.1, 8, other);
    EXPECT_NE(memcmp(once, other, sizeof(once)), 0);
    EXPECT_EQ(draw(1, 0, other), DRAWS);
}

// --- what matches --------------------------------------------------------------

TEST(sizes_and_domains_choose)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    fault.min_size = 100;
    fault.max_size = 50000;
    fault.domains = PIMALLOC_FAULT_MEM | PIMALLOC_FAULT_RAW;
    int handle = add(fault);
    static const size_t sizes[] = {0, 1, 99, 100, 101, 50000, 50001, 1 << 20};
    for (unsigned d = 0; d < 3; d++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            EXPECT_EQ(fails_in(d, sizes[i]),
                      d != PIM_OBJ && sizes[i] >= 100 && sizes[i] <= 50000);
        }
    }
    end(handle, 6, 6);
}

TEST(calls_that_need_memory_fail_and_others_do_not)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    for (unsigned d = 0; d < 3; d++) {
        const core_domain *f = &core_domains[d];
        char *block = f->malloc(NULL, 1000);
        char *large = f->malloc(NULL, 3000000);
        void *other = f->malloc(NULL, 50);
        memset(block, 0x5a, 1000);
        fault.domains = 1u << d;
        int handle = add(fault);
        EXPECT_NULL(f->malloc(NULL, 1000));
        EXPECT_NULL(f->calloc(NULL, 10, 100));
        EXPECT_NULL(f->realloc(NULL, NULL, 1000));
        EXPECT_NULL(f->realloc(NULL, block, 2000));
        EXPECT_NULL(f->realloc(NULL, large, 9000000));
        expect_counts(handle, 5, 5);
        EXPECT_PTR_EQ(f->realloc(NULL, block, 1001), block); // there is room
        EXPECT_EQ(block[999], 0x5a);
        block = f->realloc(NULL, block, 10);
        EXPECT_EQ(block[9], 0x5a);
        large = f->realloc(NULL, large, 100000);
        EXPECT_NOT_NULL(large);
        f->free(NULL, other);
        f->free(NULL, NULL);
        end(handle, 5, 5);
        f->free(NULL, block);
        f->free(NULL, large);
    }
}

TEST(an_interpreter_fails_alone)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    int handle = add(fault);
    EXPECT(fails(32));
    fake_interp_swap(b);
    EXPECT(!fails(32));
    EXPECT(pim_current_fast() != NULL); // b loses nothing
    fake_interp_swap(NULL);
    EXPECT(!fails_in(PIM_RAW, 32));
    fake_interp_swap(a);
    EXPECT(fails_in(PIM_RAW, 32));
    end(handle, 2, 2);
}

TEST(each_is_all_interpreters_and_the_process_is_apart)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    fault.interp = PIMALLOC_EACH;
    int each = add(fault);
    EXPECT(fails(32));
    fake_interp_swap(b);
    EXPECT(fails(32));
    fake_interp_swap(NULL);
    EXPECT(!fails_in(PIM_RAW, 32));
    fault.interp = PIMALLOC_PROCESS;
    int process = add(fault);
    EXPECT(fails_in(PIM_RAW, 32));
    fake_interp_swap(a);
    EXPECT(fails(32));
    end(each, 3, 3);
    end(process, 1, 1);
    EXPECT(!fails(32));
}

TEST(of_several_rules_the_newest_is_asked_first)
{
    pimalloc_fault fault = of_a();
    fault.every = 2;
    int old = add(fault);
    fault.every = 3;
    int new = add(fault);
    unsigned failed = 0;
    for (unsigned i = 0; i < 12; i++) {
        failed += fails(32);
    }
    expect_counts(old, 8, 4);
    expect_counts(new, 12, 4);
    EXPECT_EQ(failed, 8);
    end(old, 8, 4);
    EXPECT(!fails(32));
    end(new, 13, 4);
}

// --- what is spared ------------------------------------------------------------

// The thread makes it, so nothing else is current until it is made.
TEST(an_interpreter_that_is_being_made_is_spared)
{
    fake_interp fresh;
    pimalloc_fault fault = of_a();
    fault.every = 1;
    fault.interp = PIMALLOC_EACH;
    int handle = add(fault);
    fake_interp_swap(NULL);
    fake_interp_begin(&fresh, core_next_id());
    fake_interp_swap(&fresh);
    EXPECT(!fails(32));
    EXPECT(!fails_in(PIM_RAW, 32));
    EXPECT(!fails_in(PIM_MEM, 50000));
    expect_counts(handle, 0, 0);
    fake_interp_swap(a);
    EXPECT(fails(32));
    fake_interp_swap(&fresh);
    EXPECT(fails(32));
    end(handle, 2, 2);
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
}

TEST(not_for_longer_than_one_can_take)
{
    fake_interp fresh;
    pimalloc_fault fault = of_a();
    fault.every = 1;
    fault.interp = core_next_id();
    int handle = add(fault); // before it is there
    fake_interp_swap(NULL);
    fake_interp_begin(&fresh, fault.interp);
    fake_interp_swap(&fresh);
    void *much = pim_obj_malloc(NULL, PIM_LIMIT_BIRTH + 1);
    EXPECT_NOT_NULL(much);
    EXPECT(fails(32));
    pim_obj_free(NULL, much);
    EXPECT(fails(32));
    end(handle, 2, 2);
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
}

// Who adds a rule has been made.
TEST(a_rule_of_its_own_holds_at_once)
{
    fake_interp fresh;
    pimalloc_fault fault = of_a();
    fault.every = 1;
    fault.interp = core_next_id();
    fake_interp_swap(NULL);
    fake_interp_begin(&fresh, fault.interp);
    fake_interp_swap(&fresh);
    EXPECT(!fails(32));
    int handle = add(fault);
    EXPECT(fails(32));
    end(handle, 1, 1);
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
}

static bool
spare_small_ones(size_t size)
{
    return size <= 100;
}

TEST(what_limits_spare_is_spared)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    int handle = add(fault);
    pim_limit_spares = spare_small_ones;
    EXPECT(!fails_in(PIM_RAW, 100));
    EXPECT(fails_in(PIM_RAW, 101));
    EXPECT(fails(100)); // raw only
    pim_limit_spares = NULL;
    end(handle, 2, 2);
}

TEST(a_rule_that_waits_matches_when_it_has_begun)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    int handle = pim_fault_add_waiting(&fault);
    EXPECT(!fails(32));
    pim_fault_begin();
    EXPECT(fails(32));
    end(handle, 1, 1);
}

// --- lives -----------------------------------------------------------------------

TEST(a_rule_outlives_its_interpreter_and_does_nothing)
{
    fake_interp fresh;
    int64_t id = core_next_id();
    fake_interp_swap(NULL);
    fake_interp_begin(&fresh, id);
    fake_interp_swap(&fresh);
    EXPECT(!fails(32));
    pimalloc_fault fault = of_a();
    fault.every = 2;
    fault.interp = id;
    int handles[2] = {add(fault), add(fault)};
    EXPECT(!fails(32));
    EXPECT(fails(32));
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
    expect_counts(handles[0], 1, 0);
    fake_interp_begin(&fresh, id); // ids begin anew with each runtime
    fake_interp_swap(&fresh);
    for (unsigned i = 0; i < 10; i++) {
        EXPECT(!fails(32));
    }
    end(handles[0], 1, 0);
    end(handles[1], 2, 1);
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
}

static void
use_in_child(void *arg)
{
    int handle = *(int *)arg;
    expect_counts(handle, 3, 1);
    EXPECT(fails(32));
    EXPECT(!fails(32));
    end(handle, 5, 2);
    EXPECT(!fails(32));
}

TEST(a_child_has_the_rules_and_counts_by_itself)
{
    char text[200];
    pimalloc_fault fault = of_a();
    fault.every = 2;
    int handle = add(fault);
    EXPECT_EQ(fails(32) + fails(32) + fails(32), 1);
    EXPECT_EQ(core_in_child(use_in_child, &handle, text, sizeof(text)), 0);
    expect_counts(handle, 3, 1);
    EXPECT(fails(32));
    end(handle, 4, 2);
}

// --- threads -----------------------------------------------------------------------

#define REQUESTS TEAM_ROUNDS(30000)

static _Atomic uint64_t refused;

static void
ask_often(team_member *self)
{
    fake_interp interp;
    (void)self;
    fake_interp_start(&interp);
    EXPECT(!fails(32)); // as long as it is being made
    fake_interp_detach(&interp);
    fake_interp_attach(fake_main());
    void *block = pim_obj_malloc(NULL, 5000); // not wanted
    fake_interp_detach(fake_main());
    fake_interp_attach(&interp);
    for (unsigned i = 0; i < REQUESTS; i++) {
        pim_add_relaxed(&refused, fails(32));
    }
    pim_obj_free(NULL, block);
    fake_interp_stop(&interp);
}

TEST(two_threads_are_counted_exactly)
{
    team t = {.count = 0};
    pimalloc_fault fault = of_a();
    fake_interp_swap(NULL);
    fault.every = 3;
    fault.max_size = 32;
    fault.interp = PIMALLOC_EACH;
    int handle = add(fault);
    team_add(&t, ask_often);
    team_add(&t, ask_often);
    team_join(&t);
    EXPECT_EQ(refused, 2 * REQUESTS / 3);
    end(handle, 2 * REQUESTS, 2 * REQUESTS / 3);
    fake_interp_swap(a);
}

static void
ask_on(team_member *self)
{
    fake_interp interp;
    while (!team_stops(self)) {
        fake_interp_start(&interp);
        for (unsigned i = 0; i < 500; i++) {
            fails(i);
        }
        fake_interp_stop(&interp);
    }
}

static void
change_rules(team_member *self)
{
    pimalloc_fault fault = of_a();
    fault.interp = PIMALLOC_EACH;
    fault.every = self->number + 2;
    while (!team_stops(self)) {
        uint64_t matched;
        uint64_t failed;
        int handle = add(fault);
        sched_yield();
        EXPECT_EQ(pimalloc_fault_remove(handle, &matched, &failed), 0);
        EXPECT_EQ(failed, matched / fault.every);
    }
}

TEST(rules_come_and_go_in_any_thread)
{
    team t = {.count = 0};
    fake_interp_swap(NULL);
    team_add(&t, ask_on);
    team_add(&t, change_rules);
    team_add(&t, change_rules);
    for (unsigned i = 0; i < TEAM_ROUNDS(300); i++) {
        pimalloc_fault fault = of_a();
        fault.interp = PIMALLOC_PROCESS;
        fault.nth = 1;
        fault.min_size = 123; // of this thread
        fault.max_size = 123;
        int handle = add(fault);
        EXPECT(fails_in(PIM_RAW, 123));
        EXPECT_EQ(pimalloc_fault_remove(handle, NULL, NULL), 0);
    }
    team_join(&t);
    fake_interp_swap(a);
}

// --- arguments ---------------------------------------------------------------------

static void
expect_bad(pimalloc_fault fault)
{
    EXPECT_EQ(pimalloc_fault_add(&fault), -EINVAL);
}

TEST(bad_rules_are_refused)
{
    char name[PIMALLOC_FAULT_NAME_MAX + 2];
    pimalloc_fault good = of_a();
    EXPECT_EQ(pimalloc_fault_add(NULL), -EINVAL);
    expect_bad(good); // no kind
    good.every = 1;
    pimalloc_fault bad = good;
    bad.nth = 1;
    expect_bad(bad);
    bad.nth = 0;
    bad.probability = 0.5;
    expect_bad(bad);
    bad.every = 0;
    bad.probability = 1.01;
    expect_bad(bad);
    bad.probability = -0.5;
    expect_bad(bad);
    bad.probability = __builtin_nan("");
    expect_bad(bad);
    bad = good;
    bad.size--;
    expect_bad(bad);
    bad = good;
    bad.interp = -3;
    expect_bad(bad);
    bad = good;
    bad.domains = 8;
    expect_bad(bad);
    bad = good;
    bad.min_size = 11;
    bad.max_size = 10;
    expect_bad(bad);
    bad = good;
    bad.function = "";
    expect_bad(bad);
    memset(name, 'f', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    bad.function = name;
    expect_bad(bad);
    EXPECT_EQ(pimalloc_fault_remove(0, NULL, NULL), -ENOENT);
    EXPECT_EQ(pimalloc_fault_remove(-1, NULL, NULL), -ENOENT);
    EXPECT_EQ(pimalloc_fault_counts(-1, NULL, NULL), -ENOENT);
}

TEST(functions_need_frames_and_it_is_said_why_there_are_none)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    fault.function = "work";
    EXPECT_EQ(pimalloc_fault_add(&fault), -ENOTSUP);
    EXPECT_NOT_NULL(pimalloc_fault_refusal());
    EXPECT(!fails(32));
}

TEST(there_is_room_for_as_many_as_there_are_hooks)
{
    int handles[PIMALLOC_HOOKS_MAX];
    pimalloc_fault fault = of_a();
    fault.every = 100;
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        handles[i] = add(fault);
    }
    EXPECT_EQ(pimalloc_fault_add(&fault), -ENOSPC);
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        end(handles[i], 0, 0);
    }
    end(add(fault), 0, 0);
}

static int answers[2];

static void *
change_inside(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    pimalloc_fault fault = of_a();
    fault.every = 1;
    answers[0] = pimalloc_fault_add(&fault);
    answers[1] = pimalloc_fault_remove(*(int *)ctx, NULL, NULL);
    return pimalloc_next_alloc(next, size, zero);
}

TEST(inside_a_hook_rules_do_not_change)
{
    pimalloc_fault fault = of_a();
    fault.every = 2;
    int handle = add(fault);
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "change",
                          .ctx = &handle,
                          .alloc = change_inside};
    int hooked = pimalloc_hook_push(&hook, PIMALLOC_EACH);
    EXPECT(!fails(32));
    EXPECT_EQ(answers[0], -EDEADLK);
    EXPECT_EQ(answers[1], -EDEADLK);
    EXPECT_EQ(pimalloc_hook_pop(hooked), 0);
    end(handle, 1, 0);
}

SUITE(.set_up = core_set_up_with_clock, .begin = begin, .end = raw_world_end)
