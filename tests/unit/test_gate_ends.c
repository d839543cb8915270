// test_gate_ends.c -- threads whose end nobody tells the gate of.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "platform/gate.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/team.h"

static int
set_up(void **state)
{
    (void)state;
    pim_gate_start();
    fake_os_start();
    return 0;
}

static PIM_TLS bool has_no_keys;

// In front of the system's, which needs memory for some keys.
int
pthread_setspecific(pthread_key_t key, const void *value)
{
    int (*real)(pthread_key_t, const void *);
    void *found = dlsym(RTLD_NEXT, "pthread_setspecific");
    memcpy(&real, &found, sizeof(real));
    return has_no_keys ? ENOMEM : real(key, value);
}

static _Atomic unsigned told;

static void
tell(void)
{
    EXPECT(!pim_gate_will_tell_exit()); // not again
    pim_add_relaxed(&told, 1);
}

static void
enter_and_expect_to_be_told(team_member *self)
{
    EXPECT(!pim_gate_will_tell_exit());
    has_no_keys = self->number == 1;
    pim_gate_enter();
    EXPECT_EQ(pim_gate_will_tell_exit(), self->number != 1);
    pim_gate_exit();
    has_no_keys = false;
}

TEST(thread_whose_end_cannot_be_told_knows_it)
{
    team t = {.count = 0};
    pim_store_release(&pim_gate_on_thread_exit[PIM_EXIT_RAW], tell);
    for (unsigned i = 0; i < 3; i++) {
        team_add(&t, enter_and_expect_to_be_told);
    }
    team_join(&t);
    pim_store_release(&pim_gate_on_thread_exit[PIM_EXIT_RAW], NULL);
    EXPECT_EQ(pim_load_relaxed(&told), 2);
}

static void
enter_without_a_key(team_member *self)
{
    (void)self;
    has_no_keys = true;
    pim_gate_enter();
    EXPECT(!pim_gate_will_tell_exit());
    pim_gate_exit();
}

TEST(records_of_threads_whose_end_is_not_told_are_used_again)
{
    uint64_t maps = fake_os_calls(FAKE_MAP);
    for (unsigned i = 0; i < 500; i++) {
        team t = {.count = 0};
        team_add(&t, enter_without_a_key);
        team_join(&t);
    }
    EXPECT_EQ(fake_os_calls(FAKE_MAP), maps);
}

SUITE(.set_up = set_up)
