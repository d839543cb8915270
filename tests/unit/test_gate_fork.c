// test_gate_fork.c -- forks that others' fork handlers, or threads that do not leave,
// would keep waiting for ever.

#define _GNU_SOURCE

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "platform/closing.h"
#include "platform/gate.h"
#include "platform/record.h"
#include "support/child.h"
#include "support/core.h"
#include "support/patience.h"
#include "support/team.h"

static pthread_mutex_t theirs = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool is_theirs; // somebody has it, and comes to the gate
static _Atomic bool may_leave;
static _Atomic bool has_left;
static pthread_t thread;

// --- a handler that runs after ours -------------------------------------------

static enum { NOTHING, WANTS_LOCK, SPINS, JOINS } handler;
static bool ran_after_ours;

static void
prepare(void)
{
    if (handler == NOTHING) {
        return;
    }
    ran_after_ours = pim_load_relaxed(&pim_gate.closed) != PIM_GATE_OPEN;
    switch (handler) {
    case WANTS_LOCK:
        pthread_mutex_lock(&theirs);
        break;
    case SPINS:
        wait_for(&has_left);
        break;
    default:
        pthread_join(thread, NULL);
        break;
    }
}

static void
after(void)
{
    if (handler == WANTS_LOCK) {
        pthread_mutex_unlock(&theirs);
    }
}

// Like a library that the program was linked with: constructors run in the order of
// their numbers, and ours has the first that is not reserved.
#ifndef __clang__ // which does not know it
#    pragma GCC diagnostic ignored "-Wprio-ctor-dtor"
#endif
__attribute__((constructor(100))) static void
register_early(void)
{
    pthread_atfork(prepare, after, after);
}

static int
set_up(void **state)
{
    (void)state;
    pim_gate_start();
    alarm(patience());
    pim_store_relaxed(&is_theirs, false);
    pim_store_relaxed(&may_leave, false);
    pim_store_relaxed(&has_left, false);
    handler = NOTHING;
    ran_after_ours = false;
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    alarm(0);
    return 0;
}

// --- children -----------------------------------------------------------------

// What a child says of itself.
enum { WHOLE = 10, ADRIFT };

static void
use_gate_as_child(void)
{
    alarm(patience());
    EXPECT(!pim_load_relaxed(&pim_gate.closed));
    pim_gate_enter();
    pim_gate_exit();
    if (!pim_gate_is_inside()) { // as the handler of a signal may be
        pim_gate_synchronize();
        EXPECT(pim_gate_close());
        pim_gate_open();
    }
    _exit(pim_gate_is_adrift() ? ADRIFT : WHOLE);
}

static int
outcome_of(pid_t child)
{
    int outcome = child_outcome(child);
    EXPECT_GE(outcome, 0);
    return outcome;
}

static int
fork_child(void)
{
    pid_t child = fork();
    EXPECT_GE(child, 0);
    if (child == 0) {
        use_gate_as_child();
    }
    int outcome = outcome_of(child);
    EXPECT(!pim_load_relaxed(&pim_gate.closed));
    EXPECT(!pim_gate_is_adrift());
    return outcome;
}

// --- others wait for who is at the gate ----------------------------------------

static void
come_to_the_gate(void)
{
    while (pim_load_acquire(&pim_gate.closed) != PIM_GATE_FOR_FORK) {
        sched_yield();
    }
    for (unsigned i = 0; i < 20; i++) {
        pim_gate_enter();
        EXPECT(pim_gate_is_inside());
        pim_gate_exit();
    }
}

// And does not come to the gate again, as its end would, before the fork is through.
static void
leave_them(void)
{
    pim_store_release(&has_left, true);
    pthread_mutex_unlock(&theirs);
    if (handler != JOINS) {
        wait_for(&may_leave);
    }
}

static void *
work_under_their_lock(void *enters_first)
{
    if (enters_first != NULL) {
        pim_gate_enter();
        pim_gate_exit();
    }
    pthread_mutex_lock(&theirs);
    pim_store_release(&is_theirs, true);
    come_to_the_gate();
    leave_them();
    return NULL;
}

static void
fork_while_they_wait(void *(*work)(void *), void *arg)
{
    thread = team_start(work, arg);
    wait_for(&is_theirs);
    EXPECT_EQ(fork_child(), WHOLE);
    EXPECT(ran_after_ours);
    EXPECT(pim_load_acquire(&has_left));
    pim_store_release(&may_leave, true);
}

TEST(thread_whose_lock_a_later_handler_wants_is_let_in)
{
    for (unsigned i = 0; i < 4; i++) {
        set_up(NULL);
        handler = WANTS_LOCK;
        fork_while_they_wait(work_under_their_lock, &handler);
        pthread_join(thread, NULL);
    }
}

TEST(thread_that_enters_for_the_first_time_is_let_in)
{
    handler = WANTS_LOCK;
    fork_while_they_wait(work_under_their_lock, NULL);
    pthread_join(thread, NULL);
}

TEST(thread_that_a_later_handler_spins_for_is_let_in)
{
    handler = SPINS;
    fork_while_they_wait(work_under_their_lock, &handler);
    pthread_join(thread, NULL);
}

// Whose end is told at the gate, too.
TEST(thread_whose_end_a_later_handler_waits_for_is_let_in)
{
    handler = JOINS;
    fork_while_they_wait(work_under_their_lock, &handler);
}

static void *
close_under_their_lock(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&theirs);
    pim_store_release(&is_theirs, true);
    while (pim_load_acquire(&pim_gate.closed) != PIM_GATE_FOR_FORK) {
        sched_yield();
    }
    EXPECT(!pim_gate_close());
    pim_gate_synchronize();
    leave_them();
    return NULL;
}

TEST(thread_that_would_close_the_gate_is_refused)
{
    handler = WANTS_LOCK;
    fork_while_they_wait(close_under_their_lock, NULL);
    pthread_join(thread, NULL);
    EXPECT(pim_gate_close());
    pim_gate_open();
}

// --- adrift ---------------------------------------------------------------------

static void *
stay_inside(void *arg)
{
    (void)arg;
    pim_gate_enter();
    pim_store_release(&is_theirs, true);
    wait_for(&may_leave);
    pim_gate_exit();
    return NULL;
}

static void
fork_beside_who_stays(void *arg)
{
    (void)arg;
    pim_inside_patience_ms = 50;
    pthread_create(&thread, NULL, stay_inside, NULL);
    wait_for(&is_theirs);
    EXPECT_EQ(fork_child(), ADRIFT);
    EXPECT_EQ(fork_child(), ADRIFT);
    pim_store_release(&may_leave, true);
    pthread_join(thread, NULL);
    EXPECT_EQ(fork_child(), WHOLE);
}

TEST(fork_says_whom_it_waited_for_in_vain_and_the_child_is_adrift)
{
    char text[1000];
    EXPECT_EQ(core_in_child(fork_beside_who_stays, NULL, text, sizeof(text)),
              0);
    const char *said = strstr(text, "pimalloc: fork() has waited ");
    EXPECT_NOT_NULL(said);
    EXPECT_NULL(strstr(said + 1, "pimalloc:")); // once
}

static void *
be_inside_at_the_fork(void *arg)
{
    (void)arg;
    while (pim_load_acquire(&pim_gate.closed) != PIM_GATE_FOR_FORK) {
        sched_yield();
    }
    pim_gate_enter();
    pim_store_release(&has_left, true); // which it has not
    wait_for(&may_leave);
    pim_gate_exit();
    return NULL;
}

TEST(child_is_adrift_if_who_was_let_in_is_still_inside)
{
    handler = SPINS; // until the thread is inside
    thread = team_start(be_inside_at_the_fork, NULL);
    EXPECT_EQ(fork_child(), ADRIFT);
    EXPECT(ran_after_ours);
    pim_store_release(&may_leave, true);
    pthread_join(thread, NULL);
    handler = NOTHING;
    EXPECT_EQ(fork_child(), WHOLE);
}

static void
fork_in_handler(int number)
{
    (void)number;
    EXPECT_EQ(fork_child(), ADRIFT);
}

TEST(thread_that_is_inside_may_fork_in_a_signal_handler)
{
    signal(SIGUSR1, fork_in_handler);
    pim_gate_enter();
    raise(SIGUSR1);
    EXPECT(pim_gate_is_inside());
    pim_gate_exit();
    signal(SIGUSR1, SIG_DFL);
    EXPECT_EQ(fork_child(), WHOLE);
}

TEST(who_has_closed_the_gate_may_fork)
{
    EXPECT(pim_gate_close());
    pid_t child = fork();
    if (child == 0) {
        EXPECT(pim_load_relaxed(&pim_gate.closed));
        pim_gate_open();
        use_gate_as_child();
    }
    EXPECT_EQ(outcome_of(child), WHOLE);
    EXPECT(pim_load_relaxed(&pim_gate.closed)); // still
    pim_gate_open();
    EXPECT_EQ(fork_child(), WHOLE);
}

static void *
keep_the_gate_closed(void *arg)
{
    (void)arg;
    EXPECT(pim_gate_close());
    pim_store_release(&is_theirs, true);
    wait_for(&may_leave);
    pim_gate_open();
    return NULL;
}

static void
fork_at_a_closed_gate(void *arg)
{
    (void)arg;
    pim_inside_patience_ms = 50;
    pim_record_take();
    pthread_create(&thread, NULL, keep_the_gate_closed, NULL);
    wait_for(&is_theirs);
    pid_t child = fork(); // goes on without the lock
    if (child == 0) {
        use_gate_as_child();
    }
    EXPECT_EQ(outcome_of(child), WHOLE); // nobody was inside
    pim_store_release(&may_leave, true);
    pthread_join(thread, NULL);
    EXPECT_EQ(fork_child(), WHOLE);
}

TEST(fork_does_not_wait_for_ever_for_who_has_closed_the_gate)
{
    char text[1000];
    EXPECT_EQ(core_in_child(fork_at_a_closed_gate, NULL, text, sizeof(text)),
              0);
    EXPECT_NOT_NULL(strstr(text, "pimalloc: fork() has waited "));
}

// --- cancellation ----------------------------------------------------------------

static void *
fork_as_cancelled(void *arg)
{
    (void)arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self()); // pending from here on
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pid_t child = fork();
    if (child == 0) {
        use_gate_as_child();
    }
    pim_gate_synchronize();
    EXPECT(pim_gate_close());
    pim_gate_open();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    EXPECT_EQ(outcome_of(child), WHOLE);
    return &handler;
}

static void *
stay_for_a_while(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 20; i++) {
        pim_gate_enter();
        pim_store_release(&is_theirs, true);
        usleep(20000); // so that others sleep until it is out
        pim_gate_exit();
    }
    return NULL;
}

TEST(fork_and_waiting_are_no_cancellation_points)
{
    pthread_t forks;
    void *result = NULL;
    thread = team_start(stay_for_a_while, NULL);
    wait_for(&is_theirs);
    forks = team_start(fork_as_cancelled, NULL);
    EXPECT_EQ(pthread_join(forks, &result), 0);
    EXPECT_PTR_EQ(result, &handler);
    team_end(thread);
}

SUITE(.begin = set_up, .end = tear_down)
