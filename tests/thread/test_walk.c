// test_walk.c -- walks beside threads that free, end and reclaim.

#include <sched.h>

#include "domain/domain.h"
#include "interp/figures.h"
#include "support/census.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/random.h"
#include "support/team.h"

#define MAILBOXES 256
#define LARGE (2 * PIM_SPAN_MAX)

static _Atomic(void *) mailboxes[MAILBOXES];

static size_t
some_size(random_state *random)
{
    uint64_t dice = random_below(random, 1000);
    return dice < 950   ? 1 + random_below(random, 600)
           : dice < 990 ? 1 + random_below(random, 200000)
                        : LARGE;
}

// Puts a block into a mailbox and frees what was there, whoever's it is.
static void
exchange_one(random_state *random)
{
    void *mine = pim_obj_malloc(NULL, some_size(random));
    void *theirs =
        pim_exchange(&mailboxes[random_below(random, MAILBOXES)], mine);
    pim_obj_free(NULL, theirs);
}

// Interpreters that come, leave what is in the mailboxes, and go.
static void
come_and_go(team_member *self)
{
    random_state random = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp interp;
        fake_interp_start(&interp);
        for (unsigned i = 0; i < 2000; i++) {
            exchange_one(&random);
        }
        fake_interp_stop(&interp);
    }
}

static void
empty_mailboxes(void)
{
    for (unsigned i = 0; i < MAILBOXES; i++) {
        pim_obj_free(NULL, pim_exchange(&mailboxes[i], NULL));
    }
}

TEST(process_is_walked_beside_interpreters_that_end_and_reclaim)
{
    team t = {.count = 0};
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    team_add(&t, come_and_go);
    team_add(&t, come_and_go);
    uint64_t most = 0; // not before one has ended
    for (unsigned i = 0; i < TEAM_ROUNDS(300) || most == 0; i++) {
        census c = {.stop_after = 0};
        EXPECT_EQ(census_take(&pim_process_heap, &c), 0);
        most = c.blocks[PIM_OBJ] > most ? c.blocks[PIM_OBJ] : most;
        sched_yield();
    }
    team_join(&t);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    empty_mailboxes();
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[1].live_blocks,
              before.by_domain[1].live_blocks);
}

TEST(interpreter_is_walked_by_its_owner_while_others_free_its_blocks)
{
    enum { KEPT = 300 };
    void *kept[KEPT];
    fake_interp interp;
    team t = {.count = 0};
    random_state random = random_from(99);
    fake_interp_start(&interp);
    pim_heap *heap = fake_current_heap();
    for (unsigned i = 0; i < KEPT; i++) {
        kept[i] = pim_mem_malloc(NULL, some_size(&random));
    }
    uint64_t bytes = fake_figures(interp.state->id).by_domain[MEM].live_bytes;
    team_add(&t, come_and_go);
    team_add(&t, come_and_go);
    for (unsigned i = 0; i < TEAM_ROUNDS(300); i++) {
        for (unsigned j = 0; j < 500; j++) {
            exchange_one(&random);
        }
        census c = {.stop_after = 0};
        EXPECT_EQ(census_take(heap, &c), 0);
        EXPECT_EQ(c.blocks[PIM_MEM], KEPT);
        EXPECT_EQ(c.bytes[PIM_MEM], bytes);
        EXPECT_LE(c.blocks[PIM_OBJ], 2000);
    }
    team_join(&t);
    census_expect_figures(heap, interp.state->id);
    empty_mailboxes();
    for (unsigned i = 0; i < KEPT; i++) {
        pim_mem_free(NULL, kept[i]);
    }
    census_expect_figures(heap, interp.state->id);
    fake_interp_stop(&interp);
}

SUITE(.set_up = core_set_up_with_clock)
