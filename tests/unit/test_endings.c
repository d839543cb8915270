// test_endings.c -- interpreters that end beside a thread that does not leave the gate.

#define _GNU_SOURCE

#include <string.h>

#include "abandoned/poison.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "platform/closing.h"
#include "support/census.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/team.h"

static _Atomic bool is_inside;
static _Atomic bool may_leave;

static void *
stay_inside(void *arg)
{
    pim_gate_enter();
    pim_store_release(&is_inside, true);
    wait_for(&may_leave);
    pim_gate_exit();
    return arg;
}

typedef struct life {
    int64_t id;
    const pim_heap *heap;
    char *left;
} life;

static life
live_and_end(int policy)
{
    fake_interp interp;
    life l = {.id = core_next_id()};
    pim_store_relaxed(&pim_policy_of_new, policy);
    fake_interp_begin(&interp, l.id);
    fake_interp_swap(&interp);
    l.left = pim_mem_malloc(NULL, 9000);
    memset(l.left, 'x', 9000);
    l.heap = fake_current_heap();
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
    EXPECT(fake_figures(l.id).ended);
    EXPECT_EQ(fake_figures(l.id).by_domain[MEM].live_blocks, 1);
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
    return l;
}

static void
end_beside_who_stays(void *arg)
{
    int policy = *(int *)arg;
    core_start();
    pim_inside_patience_ms = 30;
    pthread_t thread = team_start(stay_inside, NULL);
    wait_for(&is_inside);
    life lives[3];
    for (unsigned i = 0; i < 3; i++) {
        lives[i] = live_and_end(policy);
        for (unsigned k = 0; k < i; k++) { // somebody may hold the records
            EXPECT_PTR_NE(lives[i].heap, lives[k].heap);
        }
    }
    EXPECT(!pim_gate_close());
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 0);
    pim_mem_free(NULL, lives[0].left); // works all the same
    pim_heap_audit(&pim_process_heap);

    pim_store_release(&may_leave, true);
    pthread_join(thread, NULL);
    life last = live_and_end(policy);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks),
              policy == PIM_POISON ? 3 : 0);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    pim_heap_audit(&pim_process_heap);
    pim_mem_free(NULL, lives[1].left);
    pim_mem_free(NULL, lives[2].left);
    pim_mem_free(NULL, last.left);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[MEM].live_blocks, 0);
    EXPECT(pim_gate_close());
    pim_gate_open();
    for (unsigned i = 0; i < 4; i++) { // and the records are not lost
        life again = live_and_end(PIM_KEEP);
        EXPECT(again.heap == lives[0].heap || again.heap == lives[1].heap ||
               again.heap == lives[2].heap || again.heap == last.heap);
        pim_mem_free(NULL, again.left);
    }
}

TEST(end_does_not_wait_for_ever_and_is_finished_by_a_later_one)
{
    for (int policy = PIM_KEEP; policy <= PIM_POISON; policy++) {
        char text[2000];
        int status =
            core_in_child(end_beside_who_stays, &policy, text, sizeof(text));
        if (status != 0) {
            print_error("%s\n", text);
        }
        EXPECT_EQ(status, 0);
        const char *said =
            strstr(text, "pimalloc: the end of an interpreter has waited ");
        EXPECT_NOT_NULL(said);
        EXPECT_NULL(strstr(said + 1, "pimalloc: ")); // once
    }
}

SUITE()
