// test_gate_fence.c -- a process forbids itself membarrier(2) when the gate relies on
// it.  What is forbidden stays so; each case has a process of its own.

#define _GNU_SOURCE

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/gate.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/team.h"

#define NO_FILTERS 77 // exit status: the system does not let us

// Returns whether membarrier fails from now on.
static bool
forbid_membarrier(void)
{
    return child_forbid_membarrier() &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) != 0;
}

// Begins a case's process; ends it if there is nothing to see.
static void
begin(void)
{
    pim_gate_start();
    fake_os_start();
    if (pim_load_relaxed(&pim_gate.fence_on_enter)) {
        _exit(NO_FILTERS); // this kernel has none to be forbidden
    }
}

static void
in_a_process(void (*body)(void *))
{
    char text[1000];
    int status = core_in_child(body, NULL, text, sizeof(text));
    if (status == NO_FILTERS) {
        skip();
    }
    if (status != 0) {
        print_error("%s\n", text);
    }
    EXPECT_EQ(status, 0);
}

// --- a failure is noticed --------------------------------------------------------

static void
synchronize_without(void *arg)
{
    (void)arg;
    begin();
    if (!forbid_membarrier()) {
        _exit(NO_FILTERS);
    }
    errno = 1234;
    pim_gate_synchronize();
    EXPECT_EQ(errno, 1234);
    EXPECT(pim_load_relaxed(&pim_gate.fence_on_enter));
    pim_gate_synchronize();
    EXPECT(pim_gate_close());
    pim_gate_open();
    pid_t child = fork();
    if (child == 0) {
        EXPECT(pim_load_relaxed(&pim_gate.fence_on_enter));
        pim_gate_enter();
        pim_gate_exit();
        pim_gate_synchronize();
        _exit(0);
    }
    EXPECT_EQ(child_outcome(child), 0);
}

TEST_OF(entries_fence_themselves_once_membarrier_has_failed,
        in_a_process(synchronize_without))

static void
fork_without(void *arg)
{
    (void)arg;
    begin();
    if (!forbid_membarrier()) {
        _exit(NO_FILTERS);
    }
    pid_t child = fork(); // the child registers anew
    if (child == 0) {
        EXPECT(pim_load_relaxed(&pim_gate.fence_on_enter));
        _exit(0);
    }
    EXPECT_EQ(child_outcome(child), 0);
    EXPECT(pim_load_relaxed(&pim_gate.fence_on_enter));
}

TEST_OF(fork_notices_that_membarrier_fails, in_a_process(fork_without))

// --- nobody is inside beside who has closed ----------------------------------------

#define COLD ((size_t)64 << 20)

static _Atomic bool closed_by_us;
static _Atomic uint64_t seen_inside;
static _Atomic uint64_t entries;

// Writes to memory that is in no cache, so that the store which says "inside" waits
// behind these.
static void
enter_and_leave(team_member *self)
{
    uint64_t x = 88172645463325252u + self->number;
    volatile char *cold = malloc(COLD);
    while (!team_stops(self)) {
        for (int i = 0; i < 24; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            cold[x % COLD] = 1;
        }
        pim_gate_enter();
        if (pim_load_relaxed(&closed_by_us)) {
            pim_add_relaxed(&seen_inside, 1);
        }
        pim_gate_exit();
        pim_add_relaxed(&entries, 1);
    }
    free((void *)(uintptr_t)cold);
}

static void
close_and_open(void)
{
    EXPECT(pim_gate_close());
    pim_store_relaxed(&closed_by_us, true);
    for (volatile int i = 0; i < 50; i++) {
    }
    pim_store_relaxed(&closed_by_us, false);
    pim_gate_open();
}

static void
forbid_under_way(void *arg)
{
    (void)arg;
    team t = {.count = 0};
    begin();
    team_add(&t, enter_and_leave);
    team_add(&t, enter_and_leave);
    while (pim_load_relaxed(&entries) < 1000) {
        sched_yield();
    }
    for (unsigned i = 0; i < TEAM_ROUNDS(2000); i++) {
        close_and_open();
    }
    if (!forbid_membarrier()) {
        _exit(NO_FILTERS);
    }
    for (unsigned i = 0; i < TEAM_ROUNDS(20000); i++) {
        close_and_open();
    }
    team_join(&t);
    EXPECT_EQ(pim_load_relaxed(&seen_inside), 0);
}

TEST_OF(nobody_is_inside_a_closed_gate_when_membarrier_is_forbidden_under_way,
        in_a_process(forbid_under_way))

SUITE()
