// test_storm.c -- the chain is changed by one thread while others allocate, free
// one another's blocks, and begin and end interpreters.

#include "hooks/watcher.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/random.h"
#include "support/team.h"

#define MAILBOXES 32
static _Atomic(void *) mailboxes[3][MAILBOXES];
static watcher books[2];

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
    unsigned i = (unsigned)random_below(random, MAILBOXES);
    core_domains[d].free(NULL, pim_exchange(&mailboxes[d][i], mine));
}

static void
come_and_go(team_member *self)
{
    random_state random = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp interp;
        fake_interp_start(&interp);
        for (unsigned i = 0; i < 300; i++) {
            exchange_one(&random);
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

// Whoever is pushed sees the blocks that were there before go, so what it does
// not know is bounded by what was there.
TEST(hooks_come_and_go_beside_everything_else)
{
    team t = {.count = 0};
    pim_chain_start();
    team_add(&t, come_and_go);
    team_add(&t, come_and_go);
    unsigned seen = 0;
    for (unsigned i = 0; i < TEAM_ROUNDS(200) || seen == 0; i++) {
        watcher_begin(&books[0], PIMALLOC_EACH);
        watcher_begin(&books[1], PIMALLOC_EACH);
        sched_yield();
        EXPECT_EQ(pimalloc_hook_toggle(books[0].handle, 0), 0);
        watcher_end(&books[i % 2]);
        EXPECT_EQ(pimalloc_hook_toggle(books[0].handle, 1),
                  i % 2 == 0 ? -2 : 0);
        sched_yield();
        watcher_end(&books[1 - i % 2]);
        seen += books[0].allocs + books[1].allocs;
        unsigned after = books[0].allocs + books[1].allocs;
        sched_yield();
        EXPECT_EQ(books[0].allocs + books[1].allocs, after); // CHAIN-2
    }
    team_join(&t);
    empty_mailboxes();
}

TEST(a_book_kept_all_the_time_agrees_in_the_end)
{
    team t = {.count = 0};
    pim_chain_start();
    watcher_begin(&books[0], PIMALLOC_EACH);
    team_add(&t, come_and_go);
    team_add(&t, come_and_go);
    while (books[0].allocs < TEAM_ROUNDS(60000)) {
        watcher_begin(&books[1], 3); // of somebody; the other one stays
        sched_yield();
        watcher_end(&books[1]);
    }
    team_join(&t);
    empty_mailboxes();
    EXPECT_EQ(books[0].unknown, 0);
    EXPECT_EQ(books[0].live, 0);
    EXPECT_EQ(books[0].born, books[0].ended);
    watcher_end(&books[0]);
}

SUITE(.set_up = core_set_up_with_clock)
