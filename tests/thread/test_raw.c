// test_raw.c -- raw blocks go from thread to thread while threads come and go,
// others read the figures, and the process forks.

#define _GNU_SOURCE

#include <unistd.h>

#include "account/ledger.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "interp/figures.h"
#include "support/child.h"
#include "support/core.h"
#include "support/patience.h"
#include "support/raw_exchange.h"
#include "support/raw_world.h"

#define TRIMS TEAM_ROUNDS(1500)
#define FORKS TEAM_ROUNDS(400)

// Sanitizers do not get over a fork beside other threads, and start none then.
#if PIM_TSAN || defined(__SANITIZE_ADDRESS__)
#    define CHILD_THREADS 0
#else
#    define CHILD_THREADS 4
#endif

static size_t
some_size(random_state *r)
{
    return random_below(r, random_below(r, 20) == 0 ? 6000 : 500);
}

static void *
short_life(void *arg)
{
    random_state r = random_from((uintptr_t)arg);
    raw_exchange_some(&r, 50);
    return NULL;
}

static void
come_and_go(team_member *self)
{
    for (uintptr_t i = 1; !team_stops(self); i++) {
        team_alone(short_life, (void *)i);
    }
}

// A figure read meanwhile may be off by what is not published, never by more.
static void
read_figures(team_member *self)
{
    while (!team_stops(self)) {
        pim_usage now;
        pim_figures heap;
        pim_raw_figures(&now);
        EXPECT_LE((int64_t)now.live_blocks, 100000);
        EXPECT_GE((int64_t)now.live_blocks, -100000);
        EXPECT_LE(now.peak_blocks, 100000);
        EXPECT_LE(now.peak_bytes, (uint64_t)1 << 30);
        pim_heap_figures(&pim_raw_heap, &heap);
        EXPECT_LE(heap.pages, 10000);
    }
}

static void
run_team(unsigned times, void (*meanwhile)(unsigned))
{
    team t = {.count = 0};
    raw_exchange_size = some_size;
    team_add(&t, raw_exchange_often);
    team_add(&t, raw_exchange_often);
    team_add(&t, raw_exchange_often);
    team_add(&t, come_and_go);
    team_add(&t, read_figures);
    budget time = budget_open();
    for (unsigned i = 0; i < times && budget_is_left(&time); i++) {
        meanwhile(i);
    }
    team_join(&t);
    raw_exchange_clear();
}

static void
trim(unsigned i)
{
    random_state r = random_from(i);
    raw_exchange_some(&r, 300);
    IN_GATE(pim_raw_small_trim());
}

TEST(blocks_that_change_threads_are_counted_and_lost_by_nobody)
{
    pim_usage before;
    pim_usage after;
    run_team(TRIMS, trim); // the records get their caches
    pim_raw_figures(&before);
    uint64_t others = raw_taken() - pim_raw_small_audit();
    run_team(TRIMS, trim);
    pim_raw_figures(&after);
    EXPECT_EQ(after.live_blocks, before.live_blocks);
    EXPECT_EQ(after.live_bytes, before.live_bytes);
    // Only the caches themselves are neither live nor in a cache.
    EXPECT_LE(raw_taken() - pim_raw_small_audit(), others + 6);
}

static void
fork_once(unsigned i)
{
    random_state r = random_from(i);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(patience());
        pim_raw_small_audit(); // as the threads left it
        raw_exchange_some(&r, 300);
        for (uintptr_t n = 1; n <= CHILD_THREADS; n++) {
            team_alone(short_life, (void *)n);
        }
        raw_exchange_clear();
        pim_raw_small_audit();
        _exit(0);
    }
    EXPECT_EQ(child_outcome(pid), 0);
}

TEST(a_forked_child_goes_on_with_whole_caches)
{
    run_team(FORKS, fork_once);
    pim_raw_small_audit();
}

// --- counted -----------------------------------------------------------------

#define HEIGHTS 500 // fewer than are published, so the gate holds nobody up
#define STEP 16

static _Atomic(pim_thread *) counting;
static pim_usage uncounted;

// As the fast path of malloc counts, each block at a new height.  Bytes are counted
// first, and forgotten last.
static void
count_up(team_member *self)
{
    pim_gate_enter();
    pim_gate_exit();
    pim_tally *tally = &pim_gate_self.thread->tally;
    pim_tally_publish(tally);
    pim_raw_figures(&uncounted);
    pim_store_release(&counting, pim_gate_self.thread);
    while (!team_stops(self)) {
        for (unsigned i = 0; i < HEIGHTS; i++) {
            pim_tally_grow(tally, STEP);
        }
        pim_store_release(&tally->top_blocks, 0);
        pim_store_release(&tally->top_bytes, 0);
    }
}

// A fork copies one page at one moment and another at another, so it is only what
// is in the record that belongs together.
static void
check_what_was_counted(void)
{
    pim_usage now;
    const pim_tally *tally = &pim_load_relaxed(&counting)->tally;
    EXPECT_GE(pim_load_relaxed(&tally->top_bytes), 0);
    EXPECT_GE(pim_load_relaxed(&tally->top_blocks), 0);
    pim_raw_figures(&now);
    uint64_t blocks = now.live_blocks - uncounted.live_blocks;
    EXPECT_LE(blocks, HEIGHTS);
    EXPECT_GE(now.live_bytes - uncounted.live_bytes, STEP * blocks);
    EXPECT_LE(now.live_bytes - uncounted.live_bytes, STEP * HEIGHTS);
}

TEST(a_forked_child_has_every_block_that_was_counted)
{
    team t = {.count = 0};
    team_add(&t, count_up);
    while (pim_load_acquire(&counting) == NULL) {
        usleep(100);
    }
    budget time = budget_open();
    for (unsigned i = 0; i < FORKS && budget_is_left(&time); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(patience());
            check_what_was_counted();
            _exit(0);
        }
        EXPECT_EQ(child_outcome(pid), 0);
    }
    team_join(&t);
}

SUITE(.set_up = core_set_up_with_clock)
