// test_fork.c -- fork while other threads allocate in every domain.  The child
// must be able to do everything, and never waits for a thread that is gone.

#define _GNU_SOURCE

#include <unistd.h>

#include "heap/audit.h"
#include "support/child.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/patience.h"
#include "support/team.h"

#define FORKS TEAM_ROUNDS(250)

static exchange x;
static _Atomic bool forking_thread_is_done;

// --- what goes on meanwhile ----------------------------------------------------

static void
use_domains(random_state *r, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        size_t size = exchange_size(r, 50, 0);
        const core_domain *d = &core_domains[random_below(r, 3)];
        void *p = d->malloc(NULL, size);
        EXPECT_NOT_NULL(p);
        p = d->realloc(NULL, p, 2 * size);
        EXPECT_NOT_NULL(p);
        d->free(NULL, p);
        exchange_put(&x, random_below(r, EXCHANGE_SLOTS), exchange_alloc(size));
    }
}

static void
run_interpreters(team_member *self)
{
    random_state r = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp interp;
        fake_interp_start(&interp);
        use_domains(&r, 200);
        fake_interp_stop(&interp);
    }
}

static void
run_without_a_state(team_member *self)
{
    random_state r = random_from(self->number + 1);
    while (!team_stops(self)) {
        use_domains(&r, 50);
    }
}

// Threads whose first and last requests fall into a fork.
static void *
short_life(void *arg)
{
    random_state r = random_from((uintptr_t)arg);
    use_domains(&r, 5);
    return NULL;
}

static void
start_threads(team_member *self)
{
    uintptr_t seed = 0;
    while (!team_stops(self)) {
        team_alone(short_life, (void *)++seed);
    }
}

// --- the child ---------------------------------------------------------------------

static void
work_as_child(void)
{
    random_state r = random_from(7);
    fake_interp interp;
    alarm(patience());
    use_domains(&r, 50); // as the thread that forked
    exchange_clear(&x);  // blocks of threads that are gone
    fake_interp_begin(&interp, core_next_id());
    fake_tstate *before = fake_interp_swap(NULL);
    fake_interp_attach(&interp);
    use_domains(&r, 50);
    fake_interp_stop(&interp);
    use_domains(&r, 50);
    pim_gate_synchronize();
    if (before != NULL) {
        fake_interp_swap(fake_main());
        pim_heap_audit(fake_current_heap());
    }
}

// Some fork again.
_Noreturn static void
be_child(bool forks)
{
    work_as_child();
    if (forks) {
        pid_t pid = fork();
        if (pid != 0) {
            _exit(child_outcome(pid) == 0 ? 0 : 3);
        }
        work_as_child();
    }
    _exit(0);
}

static void
fork_often(unsigned forks)
{
    random_state r = random_from(random_seed());
    budget time = budget_open();
    for (unsigned i = 0; i < forks && budget_is_left(&time); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            be_child(i % 8 == 0);
        }
        EXPECT_GT(pid, 0);
        use_domains(&r, 20);
        EXPECT_EQ(child_outcome(pid), 0);
    }
}

static void
start_team(team *t)
{
    team_add(t, run_interpreters);
    team_add(t, run_interpreters);
    team_add(t, run_without_a_state);
    team_add(t, start_threads);
}

TEST(child_of_the_main_interpreter_works_in_every_domain)
{
    team t = {.count = 0};
    start_team(&t);
    fake_interp_attach(fake_main());
    fork_often(FORKS);
    fake_interp_detach(fake_main());
    team_join(&t);
    exchange_clear(&x);
}

static void
fork_from_c(team_member *self)
{
    (void)self;
    fork_often(FORKS);
    pim_store_release(&forking_thread_is_done, true);
}

TEST(child_of_a_c_thread_works_in_every_domain)
{
    team t = {.count = 0};
    random_state r = random_from(5);
    start_team(&t);
    team_add(&t, fork_from_c);
    while (!pim_load_acquire(&forking_thread_is_done)) {
        fake_interp_attach(fake_main());
        use_domains(&r, 100);
        fake_interp_detach(fake_main());
    }
    team_join(&t);
    exchange_clear(&x);
}

SUITE(.set_up = core_set_up_with_clock)
