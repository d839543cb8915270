// test_retire.c -- interpreters that end while others still free their blocks.
//
// In every round an interpreter leaves blocks, and ends while other threads free
// them.  A further thread begins and ends interpreters all the time: reclaimers of
// the pages.

#include "abandoned/poison.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/patience.h"
#include "support/team.h"

#define FREERS 2
#define BLOCKS 400
#define ROUNDS TEAM_ROUNDS(3000)

static exchange x;
static pthread_barrier_t barrier;
static uint32_t *left[BLOCKS];
static unsigned count;
static _Atomic bool over;

static struct {
    unsigned large_per_1000;
    unsigned maps_per_1000;
    bool poisons; // late frees may come when the memory is gone
} mix;

// Frees its share of what the interpreter left, while it ends.
static void
free_late(team_member *self)
{
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (pim_load_acquire(&over)) {
            return;
        }
        for (unsigned i = self->number; i < count; i += FREERS) {
            if (mix.poisons) {
                pim_obj_free(NULL, left[i]);
            } else {
                exchange_free(&x, left[i]);
            }
        }
        pthread_barrier_wait(&barrier);
    }
}

static void
leave_blocks(random_state *r, bool all_late)
{
    count = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        uint32_t *block = exchange_alloc(
            exchange_size(r, mix.large_per_1000, mix.maps_per_1000));
        if (all_late || random_below(r, 2) == 0) {
            left[count++] = block;
        } else {
            exchange_free(&x, block);
        }
    }
}

// Works in pages that others left, and leaves some itself.
static void
reclaim_and_end(team_member *self)
{
    random_state r = random_from(99);
    while (!team_stops(self)) {
        fake_interp reclaimer;
        uint32_t *blocks[300];
        fake_interp_start(&reclaimer);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < 300; i++) {
                blocks[i] = exchange_alloc(exchange_size(&r, 1, 0));
            }
            for (unsigned i = 0; i < 300; i++) {
                exchange_free(&x, blocks[i]);
            }
        }
        uint32_t *leak = exchange_alloc(40);
        fake_interp_stop(&reclaimer);
        if (mix.poisons) {
            pim_obj_free(NULL, leak);
        } else {
            exchange_free(&x, leak);
        }
    }
}

static void
one_round(random_state *r)
{
    fake_interp interp;
    fake_interp_begin(&interp, core_next_id());
    int64_t id = interp.state->id;
    fake_interp_attach(&interp);
    leave_blocks(r, random_below(r, 2) == 0);
    fake_interp_detach(&interp);
    pthread_barrier_wait(&barrier);
    fake_interp_end(&interp);
    EXPECT_LE(fake_figures(id).by_domain[OBJ].live_blocks, count);
    pthread_barrier_wait(&barrier);
}

static void
race(unsigned large_per_1000, unsigned maps_per_1000, bool with_reclaimers,
     unsigned rounds)
{
    team t = {.count = 0};
    budget time = budget_open();
    random_state r = random_from(random_seed());
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    uint64_t mi_blocks = fake_mi_live_blocks();
    mix.large_per_1000 = large_per_1000;
    mix.maps_per_1000 = maps_per_1000;
    pim_store_release(&over, false);
    pthread_barrier_init(&barrier, NULL, FREERS + 1);
    for (unsigned i = 0; i < FREERS; i++) {
        team_add(&t, free_late);
    }
    if (with_reclaimers) {
        team_add(&t, reclaim_and_end);
    }
    for (unsigned i = 0; i < rounds && budget_is_left(&time); i++) {
        one_round(&r);
    }
    pim_store_release(&over, true);
    pthread_barrier_wait(&barrier);
    team_join(&t);
    pthread_barrier_destroy(&barrier);

    // Nobody left anything, so nothing may be left.
    fake_expect_process(&before);
    EXPECT_EQ(fake_mi_live_blocks(), mi_blocks);
    pim_heap_audit(&pim_process_heap);
}

TEST_OF(small_blocks_freed_during_the_end_are_counted_once,
        race(0, 0, false, ROUNDS))
TEST_OF(large_blocks_freed_during_the_end_are_counted_once,
        race(1000, 0, false, ROUNDS / 4))
TEST_OF(maps_freed_during_the_end_are_counted_once,
        race(0, 200, false, ROUNDS / 20))
TEST_OF(pages_reclaimed_during_the_end_stay_whole, race(0, 0, true, ROUNDS))
TEST_OF(blocks_of_all_kinds_freed_during_the_end_with_reclaimers_stay_whole,
        race(100, 2, true, ROUNDS / 4))

// A late free touches metadata only, however it meets with the end.
static void
race_with_poison(unsigned large_per_1000, unsigned maps_per_1000,
                 bool with_reclaimers, unsigned rounds)
{
    mix.poisons = true;
    pim_store_relaxed(&pim_policy_of_new, PIM_POISON);
    race(large_per_1000, maps_per_1000, with_reclaimers, rounds);
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
    mix.poisons = false;
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 0);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_bytes), 0);
}

TEST_OF(small_blocks_freed_while_they_are_poisoned_are_counted_once,
        race_with_poison(0, 0, true, ROUNDS / 4))
TEST_OF(maps_freed_while_they_are_poisoned_are_counted_once,
        race_with_poison(50, 100, false, ROUNDS / 40))

SUITE(.set_up = core_set_up_with_clock)
