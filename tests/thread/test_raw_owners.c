// test_raw_owners.c -- raw blocks go between interpreters that come and go, each
// with its own GIL, and threads that have no thread state.

#define _GNU_SOURCE

#include <unistd.h>

#include "account/ledger.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/patience.h"
#include "support/raw_exchange.h"

#define LIVES_MIN 4 // in the other threads
#define TRIMS TEAM_ROUNDS(1500)
#define FORKS TEAM_ROUNDS(200)

static _Atomic uint64_t lives;

static size_t
some_size(random_state *r)
{
    uint64_t dice = random_below(r, 100);
    return random_below(r, dice == 0 ? 300000 : dice < 10 ? 20000 : 500);
}

// An interpreter's life, with moments in which the thread gives its GIL up.
static void
live(random_state *r)
{
    fake_interp interp;
    fake_interp_begin(&interp, core_next_id());
    for (unsigned i = 0; i < 5; i++) {
        fake_interp_attach(&interp);
        pim_obj_free(NULL, pim_obj_malloc(NULL, 1)); // its birth
        raw_exchange_some(r, 100);
        fake_interp_detach(&interp);
        raw_exchange_some(r, 20);
    }
    fake_interp_end(&interp);
    pim_add_relaxed(&lives, 1);
}

static void
live_often(team_member *self)
{
    random_state r = random_from(self->number + 1);
    while (!team_stops(self)) {
        live(&r);
    }
}

static void
read_figures(team_member *self)
{
    while (!team_stops(self)) {
        pim_figures f = fake_figures(PIM_PROCESS_ID);
        EXPECT_LE(f.by_domain[RAW].live_blocks, 10000);
        int64_t ids[PIM_ENDED_KEPT + 16];
        size_t n = pim_registry_ids(ids, PIM_ARRAY_LEN(ids));
        if (n != 0 && n <= PIM_ARRAY_LEN(ids) &&
            pim_registry_figures(ids[n - 1], &f)) {
            EXPECT_LE(f.by_domain[RAW].live_blocks, 10000);
        }
    }
}

static void
run_team(unsigned times, void (*meanwhile)(unsigned))
{
    team t = {.count = 0};
    raw_exchange_size = some_size;
    team_add(&t, live_often);
    team_add(&t, live_often);
    team_add(&t, live_often);
    team_add(&t, raw_exchange_often);
    team_add(&t, read_figures);
    budget time = budget_open();
    pim_store_relaxed(&lives, 0);
    for (unsigned i = 0; (i < times && budget_is_left(&time)) ||
                         pim_load_relaxed(&lives) < LIVES_MIN;
         i++) {
        meanwhile(i);
    }
    team_join(&t);
    raw_exchange_clear();
}

static void
expect_nothing_live(void)
{
    pim_usage nobodys;
    pim_figures f = fake_figures(PIM_PROCESS_ID);
    pim_raw_figures(&nobodys);
    EXPECT_EQ(f.by_domain[RAW].live_bytes, 0);
    EXPECT_EQ(f.by_domain[RAW].live_blocks, 0);
    EXPECT_EQ(nobodys.live_bytes, 0);
    EXPECT_EQ(nobodys.live_blocks, 0);
    pim_raw_small_audit();
    pim_gate_enter();
    pim_lock_acquire(&pim_process_lock);
    pim_heap_audit(&pim_process_heap);
    pim_lock_release(&pim_process_lock);
    pim_gate_exit();
}

static void
trim(unsigned i)
{
    random_state r = random_from(i);
    raw_exchange_some(&r, 300);
    pim_gate_enter();
    pim_raw_small_trim();
    pim_extent_trim(true);
    pim_gate_exit();
}

TEST(blocks_that_change_interpreters_are_counted_and_lost_by_nobody)
{
    run_team(TRIMS, trim);
    expect_nothing_live();
}

// Of the interpreters that other threads are in nothing is used but what they
// left: their blocks are freed, as by a thread without a thread state.
static void
fork_once(unsigned i)
{
    random_state r = random_from(i);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(patience());
        raw_exchange_some(&r, 300);
        live(&r);
        raw_exchange_clear();
        pim_raw_small_audit();
        _exit(0);
    }
    EXPECT_EQ(child_outcome(pid), 0);
    raw_exchange_some(&r, 100);
}

TEST(a_forked_child_frees_what_interpreters_left)
{
    run_team(FORKS, fork_once);
    expect_nothing_live();
}

SUITE(.set_up = core_set_up_with_clock)
