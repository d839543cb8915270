// test_storm.c -- the chain is changed by one thread while others allocate, free
// one another's blocks, and begin and end interpreters.

#include "hooks/storm.h"
#include "hooks/watcher.h"
#include "support/core.h"

static watcher books[2];

// Whoever is pushed sees the blocks that were there before go, so what it does
// not know is bounded by what was there.
TEST(hooks_come_and_go_beside_everything_else)
{
    team t = {.count = 0};
    pim_chain_start();
    team_add(&t, storm_come_and_go);
    team_add(&t, storm_come_and_go);
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
    storm_clean_up();
}

TEST(a_book_kept_all_the_time_agrees_in_the_end)
{
    team t = {.count = 0};
    pim_chain_start();
    watcher_begin(&books[0], PIMALLOC_EACH);
    team_add(&t, storm_come_and_go);
    team_add(&t, storm_come_and_go);
    while (books[0].allocs < TEAM_ROUNDS(60000)) {
        watcher_begin(&books[1], 3); // of somebody; the other one stays
        sched_yield();
        watcher_end(&books[1]);
    }
    team_join(&t);
    storm_clean_up();
    EXPECT_EQ(books[0].unknown, 0);
    EXPECT_EQ(books[0].live, 0);
    EXPECT_EQ(books[0].born, books[0].ended);
    watcher_end(&books[0]);
}

SUITE(.set_up = core_set_up_with_clock)
