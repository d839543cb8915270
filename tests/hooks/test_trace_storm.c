// test_trace_storm.c -- traces come and go, are looked at and cleared, while
// others allocate, free one another's blocks, and begin and end interpreters.

#include <stdlib.h>

#include "hooks/intern.h"
#include "hooks/side.h"
#include "hooks/stage.h"
#include "support/exchange.h"
#include "support/random.h"
#include "support/raw_world.h"
#include "support/team.h"

#define MAILBOXES 32
static _Atomic(void *) mailboxes[3][MAILBOXES];
static _Atomic bool with_policies;

static size_t
some_size(random_state *random)
{
    static const size_t sizes[] = {16, 40, 200, 511, 3000, 40000, 150000};
    return sizes[random_below(random, 7)];
}

static void
exchange_one(random_state *random)
{
    unsigned d = (unsigned)random_below(random, 3);
    void *mine = core_domains[d].malloc(NULL, some_size(random));
    if (random_below(random, 4) == 0) {
        mine = core_domains[d].realloc(NULL, mine, some_size(random));
    }
    pimalloc_trace_relabel(mine);
    unsigned i = (unsigned)random_below(random, MAILBOXES);
    void *theirs = pim_exchange(&mailboxes[d][i], mine);
    if (theirs != NULL && random_below(random, 8) == 0) {
        theirs = core_domains[d].realloc(NULL, theirs, some_size(random));
    }
    core_domains[d].free(NULL, theirs);
}

static void
run_code(random_state *random, unsigned depth)
{
    stage_code *code = stage_make("work", (int)random_below(random, 1000));
    stage_call(code, 0);
    for (unsigned i = 0; i < 20; i++) {
        stage_step((unsigned)random_below(random, STAGE_INSTRUCTIONS));
        exchange_one(random);
    }
    if (depth != 0) {
        run_code(random, depth - 1);
    }
    stage_return();
    stage_unmake(code);
}

// Blocks of interpreters that end in another way than to keep are nobody's to
// free, so those take part only for themselves.
static void
live_alone(random_state *random, const fake_interp *interp)
{
    static const int policies[] = {PIM_KEEP, PIM_POISON, PIM_RELEASE};
    int policy = policies[random_below(random, 3)];
    EXPECT_EQ(pim_registry_set_policy(interp->state->id, policy), 0);
    for (unsigned i = 0; i < 100; i++) {
        void *p = pim_obj_malloc(NULL, some_size(random));
        if (i % 3 != 0 || policy == PIM_KEEP) {
            pim_obj_free(NULL, p);
        }
    }
}

static void
come_and_go(team_member *self)
{
    random_state random = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp interp;
        fake_interp_start(&interp);
        if (pim_load_relaxed(&with_policies) && random_below(&random, 2) == 0) {
            pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
            live_alone(&random, &interp);
        } else {
            run_code(&random, 4);
        }
        fake_interp_stop(&interp);
        for (unsigned i = 0; i < 50; i++) { // of nobody
            unsigned box = (unsigned)random_below(&random, MAILBOXES);
            void *mine = core_domains[PIM_RAW].malloc(NULL, some_size(&random));
            core_domains[PIM_RAW].free(NULL,
                                       pim_exchange(&mailboxes[0][box], mine));
        }
    }
}

static void
empty_mailboxes(void)
{
    for (unsigned d = 0; d < 3; d++) {
        for (unsigned i = 0; i < MAILBOXES; i++) {
            core_domains[d].free(NULL, pim_exchange(&mailboxes[d][i], NULL));
        }
    }
}

typedef struct numbers {
    uint32_t stack[4096];
    unsigned count;
} numbers;

static int
collect(void *arg, const pimalloc_traced *block)
{
    numbers *n = arg;
    EXPECT_NE(block->stack, 0);
    EXPECT_NE(block->bytes, 0);
    n->stack[n->count++] = block->stack;
    return n->count == 4096;
}

static void
look(void)
{
    static numbers n;
    n.count = 0;
    pimalloc_trace_hold();
    pimalloc_trace_walk(PIMALLOC_EACH, collect, &n);
    sched_yield();
    for (unsigned i = 0; i < n.count; i++) {
        pimalloc_frame frames[5];
        size_t total;
        size_t kept = pimalloc_trace_stack(n.stack[i], frames, 5, &total);
        EXPECT_GE(kept, 1);
        EXPECT_LE(kept, total);
        EXPECT(frames[0].line >= 0 && frames[0].file[0] != '\0');
    }
    pimalloc_trace_release();
}

static void
begin_storm(team *t, bool policies)
{
    pim_store_relaxed(&with_policies, policies);
    *t = (team){.count = 0};
    team_add(t, come_and_go);
    team_add(t, come_and_go);
}

TEST(traces_come_and_go_beside_everything_else)
{
    team t;
    begin_storm(&t, true);
    for (unsigned i = 0; i < TEAM_ROUNDS(200); i++) {
        EXPECT_EQ(pimalloc_trace_start(PIMALLOC_EACH, 1 + i % 5), 0);
        sched_yield();
        look();
        EXPECT_EQ(pimalloc_trace_clear(PIMALLOC_EACH), 0);
        sched_yield();
        look();
        pimalloc_trace_reset_peak(PIMALLOC_EACH);
        EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    }
    team_join(&t);
    empty_mailboxes();
    EXPECT_EQ(stage_figures(PIMALLOC_EACH).table_bytes, 0);
}

// Tables stay while another trace runs, and so do stale records.
TEST(so_do_traces_of_some_interpreters)
{
    team t;
    begin_storm(&t, true);
    EXPECT_EQ(pimalloc_trace_start(PIMALLOC_PROCESS, 2), 0);
    for (unsigned i = 0; i < TEAM_ROUNDS(200); i++) {
        int64_t ids[256]; // those that ended, then the living
        size_t n = pim_registry_ids(ids, 256);
        int64_t id = n != 0 && n <= 256 ? ids[n - 1] : 0;
        int err = pimalloc_trace_start(id, 3);
        sched_yield();
        look();
        if (err == 0) {
            EXPECT_EQ(pimalloc_trace_clear(id), 0);
            sched_yield();
            pimalloc_trace_stop(id);
        }
    }
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_PROCESS), 0);
    team_join(&t);
    empty_mailboxes();
    EXPECT_EQ(pimalloc_trace_start(PIMALLOC_EACH, 1), 0);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    EXPECT_EQ(stage_figures(PIMALLOC_EACH).table_bytes, 0);
}

TEST(a_trace_kept_all_the_time_agrees_in_the_end)
{
    team t;
    EXPECT_EQ(pimalloc_trace_start(PIMALLOC_EACH, 5), 0);
    begin_storm(&t, false);
    for (unsigned i = 0; i < TEAM_ROUNDS(300); i++) {
        look();
        sched_yield();
    }
    team_join(&t);
    empty_mailboxes();
    EXPECT_EQ(stage_figures(PIMALLOC_EACH).lost, 0);
    stage_expect_live(PIMALLOC_EACH, 0, 0);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
}

SUITE(.set_up = stage_set_up_with_clock)
