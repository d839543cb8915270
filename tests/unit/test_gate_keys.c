// test_gate_keys.c -- ends of threads in a process that has used up its keys.

#include "platform/gate.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/team.h"

static _Atomic unsigned told;

static void
tell(void)
{
    EXPECT(pim_gate_is_inside());
    EXPECT(!pim_gate_will_tell_exit());
    pim_add_relaxed(&told, 1);
}

static int
set_up(void **state)
{
    pthread_key_t key;
    (void)state;
    while (pthread_key_create(&key, NULL) == 0) {
    }
    pim_gate_start();
    fake_os_start();
    pim_store_release(&pim_gate_on_thread_exit[PIM_EXIT_RAW], tell);
    return 0;
}

static void
enter(team_member *self)
{
    (void)self;
    EXPECT(!pim_gate_will_tell_exit());
    pim_gate_enter();
    EXPECT(pim_gate_will_tell_exit());
    pim_gate_exit();
}

TEST(ends_are_told_without_a_key_and_records_used_again)
{
    uint64_t maps = fake_os_calls(FAKE_MAP);
    for (unsigned i = 0; i < 200; i++) {
        team t = {.count = 0};
        team_add(&t, enter);
        team_join(&t);
    }
    EXPECT_EQ(pim_load_relaxed(&told), 200);
    EXPECT_EQ(fake_os_calls(FAKE_MAP), maps);
}

// The end of the first thread is the process's.
TEST(first_thread_is_not_told_of)
{
    pim_gate_enter();
    EXPECT(!pim_gate_will_tell_exit());
    pim_gate_exit();
}

SUITE(.set_up = set_up)
