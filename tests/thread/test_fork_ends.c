// test_fork_ends.c -- forks beside threads that end interpreters, under all policies,
// and others that free what those left.  What a fork cut in two is whole in the child.

#define _GNU_SOURCE

#include <unistd.h>

#include "abandoned/poison.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "support/census.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/patience.h"
#include "support/random.h"
#include "support/team.h"

#define FORKS TEAM_ROUNDS(300)
#define BLOCKS 60
#define SLOTS 256

static _Atomic(void *) slots[SLOTS]; // blocks of mem that may be freed late
static _Atomic int ending;           // threads that are at it

static void
free_slot(unsigned i)
{
    void *block = pim_exchange(&slots[i % SLOTS], NULL);
    if (block != NULL) {
        pim_mem_free(NULL, block);
    }
}

static size_t
some_size(random_state *r)
{
    switch (random_below(r, 20)) {
    case 0:
        return 20000 + random_below(r, 60000); // spans
    case 1:
        return random_below(r, 4) == 0 ? PIM_EXTENT_BORN + 1 : 5000;
    default:
        return 1 + random_below(r, 800);
    }
}

// What it releases nobody may free; all else may be.
static void
live_and_leave(random_state *r)
{
    fake_interp interp;
    int policy = PIM_KEEP + (int)random_below(r, 3);
    fake_interp_start(&interp);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    EXPECT_EQ(pim_registry_set_policy(interp.state->id, policy), 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        void *block = pim_mem_malloc(NULL, some_size(r));
        EXPECT_NOT_NULL(block);
        if (policy != PIM_RELEASE) {
            block = pim_exchange(&slots[random_below(r, SLOTS)], block);
            pim_mem_free(NULL, block);
        } else if (i % 2 == 0) {
            pim_mem_free(NULL, block);
        }
    }
    fake_interp_detach(&interp);
    atomic_fetch_add(&ending, 1);
    fake_interp_end(&interp);
    atomic_fetch_sub(&ending, 1);
}

static void
run_interpreters(team_member *self)
{
    random_state r = random_from(self->number + 1);
    while (!team_stops(self)) {
        live_and_leave(&r);
    }
}

static void
free_late(team_member *self)
{
    random_state r = random_from(self->number + 100);
    while (!team_stops(self)) {
        free_slot((unsigned)random_below(&r, SLOTS));
    }
}

// --- the child -------------------------------------------------------------------

enum { CUT = 10, NOT_CUT };

static void
expect_whole(void)
{
    pim_heap_audit(&pim_process_heap);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
}

static void
expect_over(void *arg, const pim_figures *figures)
{
    (void)arg;
    EXPECT(!figures->ended || figures->arenas == 0);
}

_Noreturn static void
be_child(void)
{
    random_state r = random_from(3);
    bool cut = pim_load_relaxed(&ending) != 0;
    alarm(patience());
    EXPECT(!pim_gate_is_adrift());
    expect_whole();
    pim_registry_each(expect_over, NULL);
    for (unsigned i = 0; i < SLOTS; i++) {
        free_slot(i);
    }
    expect_whole();
    live_and_leave(&r);
    expect_whole();
    _exit(cut ? CUT : NOT_CUT);
}

TEST(what_a_fork_cut_in_two_is_whole_in_the_child)
{
    team t = {.count = 0};
    unsigned cut = 0;
    team_add(&t, run_interpreters);
    team_add(&t, run_interpreters);
    team_add(&t, free_late);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            be_child();
        }
        int outcome = child_outcome(child);
        EXPECT_GE(outcome, CUT);
        cut += outcome == CUT;
    }
    team_join(&t);
    for (unsigned i = 0; i < SLOTS; i++) {
        free_slot(i);
    }
    expect_whole();
    print_message("%u of %u forks fell into an end\n", cut, FORKS);
}

SUITE(.set_up = core_set_up)
