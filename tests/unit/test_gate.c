// test_gate.c -- inside, outside, waiting, and fork.

#define _GNU_SOURCE

#include <sched.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/gate.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/patience.h"
#include "support/team.h"

static _Atomic bool flag_a;
static _Atomic bool flag_b;
static _Atomic bool waits; // who is to wait is about to

static int
set_up(void **state)
{
    (void)state;
    pim_gate_start();
    fake_os_start();
    pim_store_relaxed(&flag_a, false);
    pim_store_relaxed(&flag_b, false);
    pim_store_relaxed(&waits, false);
    return 0;
}

TEST(entries_nest)
{
    EXPECT(!pim_gate_is_inside());
    pim_gate_enter();
    EXPECT(pim_gate_is_inside());
    pim_gate_enter();
    pim_gate_exit();
    EXPECT(pim_gate_is_inside());
    pim_gate_exit();
    EXPECT(!pim_gate_is_inside());
}

TEST(inside_is_odd_exactly_while_inside)
{
    pim_gate_enter();
    pim_thread *self = pim_gate_self.thread;
    EXPECT_NOT_NULL(self);
    EXPECT_EQ(pim_load_relaxed(&self->inside) & 1, 1);
    pim_gate_enter();
    EXPECT_EQ(pim_load_relaxed(&self->inside) & 1, 1);
    pim_gate_exit();
    EXPECT_EQ(pim_load_relaxed(&self->inside) & 1, 1);
    pim_gate_exit();
    EXPECT_EQ(pim_load_relaxed(&self->inside) & 1, 0);
}

// --- waiting -----------------------------------------------------------------

#define LONG_ENOUGH 200 // for a few instructions of another thread, in turns

// Until somebody waits for it, as far as can be told from here.
static void
stay_inside(team_member *self)
{
    (void)self;
    pim_gate_enter();
    pim_store_release(&flag_a, true);
    wait_for(&waits);
    for (unsigned i = 0; i < LONG_ENOUGH; i++) {
        sched_yield();
    }
    pim_store_release(&flag_b, true);
    pim_gate_exit();
}

TEST(synchronize_waits_for_who_is_inside)
{
    team t = {.count = 0};
    team_add(&t, stay_inside);
    wait_for(&flag_a);
    pim_store_release(&waits, true);
    pim_gate_synchronize();
    EXPECT(pim_load_acquire(&flag_b));
    team_join(&t);
}

static void
enter_and_leave(team_member *self)
{
    while (!team_stops(self)) {
        pim_gate_enter();
        pim_gate_exit();
        pim_store_relaxed(&flag_a, true);
    }
}

TEST(synchronize_does_not_wait_for_later_entries)
{
    team t = {.count = 0};
    team_add(&t, enter_and_leave);
    team_add(&t, enter_and_leave);
    wait_for(&flag_a);
    for (unsigned i = 0; i < TEAM_ROUNDS(2000); i++) {
        pim_gate_synchronize(); // would hang
    }
    team_join(&t);
}

static _Atomic(int *) linked;
static _Atomic uint64_t looked;

static void
use_what_is_linked(team_member *self)
{
    while (!team_stops(self)) {
        pim_gate_enter();
        const int *p = pim_load_acquire(&linked);
        EXPECT_EQ(*p, 7);
        EXPECT_EQ(*p, 7);
        pim_gate_exit();
        pim_add_relaxed(&looked, 1);
    }
}

TEST(nobody_holds_what_was_unlinked_before_synchronize)
{
    static int values[2] = {7, 7};
    team t = {.count = 0};
    pim_store_release(&linked, &values[0]);
    team_add(&t, use_what_is_linked);
    team_add(&t, use_what_is_linked);
    while (pim_load_relaxed(&looked) < 10) {
        sched_yield();
    }
    for (unsigned i = 0; i < TEAM_ROUNDS(5000); i++) {
        int *old = pim_exchange(&linked, &values[(i + 1) % 2]);
        pim_gate_synchronize();
        *old = 0; // a race if somebody still reads it
        *old = 7;
    }
    team_join(&t);
}

static void
enter_once(team_member *self)
{
    (void)self;
    pim_gate_enter();
    pim_gate_exit();
}

TEST(records_of_ended_threads_are_used_again)
{
    uint64_t maps = fake_os_calls(FAKE_MAP);
    for (unsigned i = 0; i < 500; i++) {
        team t = {.count = 0};
        team_add(&t, enter_once);
        team_join(&t);
    }
    EXPECT_EQ(fake_os_calls(FAKE_MAP), maps);
}

// --- fork ---------------------------------------------------------------------

// A child that enters, synchronizes and forks once more; 0 if all goes well.
static int
fork_and_use_gate(void)
{
    pid_t pid = fork();
    EXPECT_GE(pid, 0);
    if (pid == 0) {
        alarm(patience());
        pim_gate_enter();
        pim_gate_exit();
        pim_gate_synchronize();
        pid_t again = fork();
        if (again == 0) {
            alarm(patience());
            pim_gate_synchronize();
            _exit(0);
        }
        _exit(child_outcome(again) == 0 ? 0 : 2);
    }
    return child_outcome(pid);
}

TEST(fork_waits_for_who_is_inside)
{
    team t = {.count = 0};
    team_add(&t, stay_inside);
    wait_for(&flag_a);
    pim_store_release(&waits, true);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(pim_load_acquire(&flag_b) ? 0 : 1);
    }
    EXPECT_EQ(child_outcome(pid), 0);
    team_join(&t);
}

TEST(child_can_enter_and_synchronize)
{
    team t = {.count = 0};
    team_add(&t, enter_and_leave);
    team_add(&t, enter_and_leave);
    wait_for(&flag_a);
    budget time = budget_open();
    for (unsigned i = 0; i < TEAM_ROUNDS(300) && budget_is_left(&time); i++) {
        EXPECT_EQ(fork_and_use_gate(), 0);
    }
    team_join(&t);
    EXPECT(!pim_load_relaxed(&pim_gate.closed));
}

// Whether the thread below has just made its record odd, as a thread has that
// enters during a fork and has not yet seen that the gate is closed.
static volatile bool entering;

static void
enter_during_fork(team_member *self)
{
    pim_gate_enter();
    pim_gate_exit();
    pim_thread *record = pim_gate_self.thread;
    pim_store_release(&flag_a, true);
    while (!team_stops(self)) {
        if (!pim_load_acquire(&pim_gate.closed)) {
            continue;
        }
        for (unsigned i = 0; i < 300; i++) { // until the handler has looked
            sched_yield();
            if (!pim_load_acquire(&pim_gate.closed)) {
                break;
            }
        }
        entering = true;
        pim_add_relaxed(&record->inside, 1);
        usleep(100);
        pim_add_relaxed(&record->inside, 1);
        entering = false;
    }
}

TEST(regress_child_forgets_who_was_about_to_enter)
{
    team t = {.count = 0};
    bool met = false;
    size_t ballast_bytes = (size_t)128 << 20; // a fork takes its time
    char *ballast = malloc(ballast_bytes);
    memset(ballast, 1, ballast_bytes);
    team_add(&t, enter_during_fork);
    wait_for(&flag_a);
    budget time = budget_open();
    for (unsigned i = 0; i < 400 && !met && budget_is_left(&time); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(patience());
            pim_gate_synchronize();
            _exit(entering ? 42 : 0);
        }
        int outcome = child_outcome(pid);
        EXPECT_GE(outcome, 0);
        met = outcome == 42;
    }
    team_join(&t);
    free(ballast);
    if (!met) {
        print_message("the moment was never met\n");
    }
}

// --- without a record ----------------------------------------------------------

#define CROWD 70 // more than the records there are without a map

static pthread_barrier_t crowd_is_in;
static _Atomic unsigned without_record;
static _Atomic uint64_t guarded;

static void *
join_crowd(void *arg)
{
    (void)arg;
    pim_gate_enter();
    bool has_record = pim_gate_self.thread != NULL;
    pim_gate_enter();
    EXPECT(pim_gate_is_inside());
    pim_gate_exit();
    EXPECT(pim_gate_is_inside());
    if (!has_record) {
        pim_add_relaxed(&without_record, 1);
        pim_own_add(&guarded, 1); // alone: it holds the gate's lock
    }
    pim_gate_exit();
    EXPECT(!pim_gate_is_inside());
    pthread_barrier_wait(&crowd_is_in); // so that all records are taken
    return NULL;
}

TEST(threads_without_a_record_enter_one_at_a_time)
{
    pthread_t threads[CROWD];
    fake_os_fail(FAKE_MAP, 1, true);
    pthread_barrier_init(&crowd_is_in, NULL, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        threads[i] = team_start(join_crowd, NULL);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
    fake_os_heal();
    EXPECT_GT(pim_load_relaxed(&without_record), 0);
    EXPECT_EQ(pim_load_relaxed(&without_record), pim_load_relaxed(&guarded));
    pim_gate_synchronize();
}

static void
enter_as_handler(void)
{
    if (pim_load_relaxed(&flag_b)) {
        pim_gate_enter();
        EXPECT(pim_gate_is_inside());
        pim_gate_exit();
    }
}

static void *
fork_in_crowd(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&crowd_is_in); // all others have theirs
    pim_gate_enter();
    bool has_record = pim_gate_self.thread != NULL;
    pim_gate_exit();
    EXPECT(!has_record);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(patience());
        pim_gate_enter();
        pim_gate_exit();
        pim_gate_synchronize();
        _exit(0);
    }
    EXPECT_EQ(child_outcome(pid), 0);
    pthread_barrier_wait(&crowd_is_in);
    return NULL;
}

static void *
hold_a_record(void *arg)
{
    (void)arg;
    pim_gate_enter();
    pim_gate_exit();
    pthread_barrier_wait(&crowd_is_in);
    pthread_barrier_wait(&crowd_is_in);
    return NULL;
}

// Others' fork handlers may allocate after ours took the lock.
TEST(regress_thread_without_a_record_can_fork)
{
    pthread_t threads[CROWD];
    EXPECT_EQ(pthread_atfork(NULL, enter_as_handler, enter_as_handler), 0);
    pim_store_relaxed(&flag_b, true);
    fake_os_fail(FAKE_MAP, 1, true);
    pthread_barrier_init(&crowd_is_in, NULL, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        EXPECT_EQ(pthread_create(&threads[i], NULL,
                                 i == 0 ? fork_in_crowd : hold_a_record, NULL),
                  0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
    }
    fake_os_heal();
    pim_store_relaxed(&flag_b, false);
}

static void
exit_unentered(void *arg)
{
    (void)arg;
    pim_gate_enter();
    pim_gate_exit();
    pim_gate_exit();
}

TEST(leaving_without_having_entered_is_fatal)
{
    if (!PIM_DEBUG) {
        skip();
    }
    core_expect_fatal(exit_unentered, NULL, "assertion failed");
}

static void
synchronize_inside(void *arg)
{
    (void)arg;
    pim_gate_enter();
    pim_gate_synchronize();
}

TEST(synchronize_inside_is_fatal)
{
    if (!PIM_DEBUG) {
        skip();
    }
    core_expect_fatal(synchronize_inside, NULL, "assertion failed");
}

SUITE(.begin = set_up)
