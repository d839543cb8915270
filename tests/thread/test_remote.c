// test_remote.c -- blocks that cross threads and interpreters, while readers of
// statistics look on.

#include "heap/audit.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/team.h"

#define REMOTES 3
#define ROUNDS TEAM_ROUNDS(4000000)

static exchange x;
static fake_interp interps[2];

// No thread has more than this many blocks outside the slots.
#define LIVE_MAX (EXCHANGE_SLOTS + 2 * TEAM_MAX)

// Figures must be true at some moment: never more than can be.
static void
read_statistics(team_member *self)
{
    int64_t ids[64];
    while (!team_stops(self)) {
        size_t n = pim_registry_ids(ids, PIM_ARRAY_LEN(ids));
        EXPECT_GE(n, 1);
        for (unsigned i = 0; i < 2; i++) {
            pim_figures f;
            if (interps[i].state == NULL ||
                !pim_registry_figures(interps[i].state->id, &f)) {
                continue;
            }
            EXPECT_LE(f.by_domain[OBJ].live_blocks, LIVE_MAX);
            EXPECT_LE(f.by_domain[OBJ].live_bytes, (uint64_t)LIVE_MAX << 30);
            EXPECT_GE(f.by_domain[OBJ].peak_blocks,
                      f.by_domain[OBJ].live_blocks);
        }
    }
}

static void
begin_both(void)
{
    for (unsigned i = 0; i < 2; i++) {
        fake_interp_begin(&interps[i], core_next_id());
        fake_interp_attach(&interps[i]);
        pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
        fake_interp_detach(&interps[i]);
    }
}

// All blocks are free: the accounts say so, and the heaps are whole.
static void
end_both(void)
{
    exchange_clear(&x);
    for (unsigned i = 0; i < 2; i++) {
        fake_interp_attach(&interps[i]);
        IN_GATE(pim_heap_drain(fake_current_heap()));
        pim_heap_audit(fake_current_heap());
        pim_figures f = fake_figures(interps[i].state->id);
        EXPECT_EQ(f.by_domain[OBJ].live_blocks, 0);
        EXPECT_EQ(f.by_domain[OBJ].live_bytes, 0);
        fake_interp_detach(&interps[i]);
        fake_interp_end(&interps[i]);
    }
}

// --- into a busy heap --------------------------------------------------------

static void
free_from_outside(team_member *self)
{
    random_state r = random_from(self->number);
    if (self->number % 2 != 0) {
        fake_interp_attach(&interps[1]); // by the owner of another heap
    }
    while (!team_stops(self)) {
        exchange_put(&x, random_below(&r, EXCHANGE_SLOTS), NULL);
    }
    if (self->number % 2 != 0) {
        fake_interp_detach(&interps[1]);
    }
}

TEST(frees_from_many_threads_into_a_busy_heap_are_all_seen)
{
    team t = {.count = 0};
    random_state r = random_from(random_seed());
    begin_both();
    team_add(&t, free_from_outside);
    team_add(&t, free_from_outside);
    team_add(&t, read_statistics);
    fake_interp_attach(&interps[0]);
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size = exchange_size(&r, 2, 0);
        exchange_put(&x, random_below(&r, EXCHANGE_SLOTS),
                     exchange_alloc(size));
    }
    fake_interp_detach(&interps[0]);
    team_join(&t);
    end_both();
}

// --- producer and consumer ------------------------------------------------------

static void
produce_and_consume(team_member *self)
{
    random_state r = random_from(self->number + 10);
    fake_interp *mine = &interps[self->number % 2];
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        if (i % 64 == 0) { // others want to run, too
            if (i != 0) {
                fake_interp_detach(mine);
            }
            fake_interp_attach(mine);
        }
        exchange_put(&x, random_below(&r, EXCHANGE_SLOTS),
                     exchange_alloc(exchange_size(&r, 2, 0)));
    }
    fake_interp_detach(mine);
}

TEST(interpreters_free_each_others_blocks)
{
    team t = {.count = 0};
    begin_both();
    for (unsigned i = 0; i < 4; i++) {
        team_add(&t, produce_and_consume);
    }
    team_add(&t, read_statistics);
    for (unsigned i = 0; i < 4; i++) { // they end by themselves
        pthread_join(t.members[i].thread, NULL);
    }
    t.members[0] = t.members[4];
    t.count = 1;
    team_join(&t);
    end_both();
}

// --- one interpreter, many threads --------------------------------------------------

static void
work_under_one_gil(team_member *self)
{
    random_state r = random_from(self->number + 20);
    for (unsigned i = 0; i < ROUNDS / 200; i++) {
        fake_interp_attach(&interps[0]);
        for (unsigned j = 0; j < 50; j++) {
            exchange_put(&x, random_below(&r, EXCHANGE_SLOTS),
                         exchange_alloc(exchange_size(&r, 2, 0)));
        }
        fake_interp_detach(&interps[0]);
    }
}

TEST(interpreter_that_migrates_between_threads_frees_nothing_remotely)
{
    team t = {.count = 0};
    begin_both();
    for (unsigned i = 0; i < 4; i++) {
        team_add(&t, work_under_one_gil);
    }
    team_join(&t);
    fake_interp_attach(&interps[0]);
    exchange_clear(&x);
    EXPECT_EQ(fake_figures(interps[0].state->id).remote_frees, 0);
    fake_interp_detach(&interps[0]);
    end_both();
}

// --- the process heap ------------------------------------------------------------

static void
work_without_a_thread_state(team_member *self)
{
    random_state r = random_from(self->number + 30);
    for (unsigned i = 0; i < ROUNDS / 8; i++) {
        exchange_put(&x, random_below(&r, EXCHANGE_SLOTS),
                     exchange_alloc(exchange_size(&r, 5, 0)));
    }
}

TEST(threads_without_a_state_share_the_process_heap)
{
    team t = {.count = 0};
    uint64_t before = fake_figures(PIM_PROCESS_ID).by_domain[OBJ].live_blocks;
    begin_both();
    for (unsigned i = 0; i < 3; i++) {
        team_add(&t, work_without_a_thread_state);
    }
    team_add(&t, produce_and_consume);
    team_join(&t);
    end_both();
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[OBJ].live_blocks, before);
    pim_heap_audit(&pim_process_heap);
}

SUITE(.set_up = core_set_up_with_clock)
