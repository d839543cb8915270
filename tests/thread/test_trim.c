// test_trim.c -- idle memory of busy interpreters is given back by a thread that owns
// none of them, while they run, end and begin.

#include <sched.h>

#include "heap/audit.h"
#include "heap/purge.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/team.h"

#define SWINGS TEAM_ROUNDS(3000)

static _Atomic uint64_t given_back;
static _Atomic uint64_t swings;

static void
swing(random_state *r)
{
    enum { HELD = 60 };
    uint32_t *held[HELD] = {NULL};
    for (unsigned i = 0; i < 600; i++) {
        uint32_t **one = &held[random_below(r, HELD)];
        if (*one != NULL) {
            EXPECT_EQ(((unsigned char *)*one)[(*one)[0] - 1], (*one)[0] & 255);
            pim_obj_free(NULL, *one);
        }
        *one = exchange_alloc(exchange_size(r, 150, 0));
    }
    for (unsigned i = 0; i < HELD; i++) {
        pim_obj_free(NULL, held[i]);
    }
}

static void
run_interpreters(team_member *self)
{
    random_state r = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp interp;
        fake_interp_start(&interp);
        for (unsigned i = 0; i < 20 && !team_stops(self); i++) {
            swing(&r);
            pim_add_relaxed(&swings, 1);
            IN_GATE(pim_heap_audit(
                fake_current_heap())); // out of which nobody changes arenas
        }
        fake_interp_stop(&interp);
    }
}

static void
purge_one(void *arg, pim_heap *heap)
{
    const bool *all = arg;
    pim_add_relaxed(&given_back, pim_heap_purge_from_outside(heap, *all));
}

TEST(memory_of_busy_interpreters_is_given_back_from_outside)
{
    team t = {.count = 0};
    for (unsigned i = 0; i < 3; i++) {
        team_add(&t, run_interpreters);
    }
    for (unsigned i = 0; pim_load_relaxed(&swings) < SWINGS ||
                         pim_load_relaxed(&given_back) == 0;
         i++) {
        bool all = i % 3 == 0;
        pim_gate_close();
        pim_registry_each_heap(purge_one, &all);
        pim_gate_open();
        sched_yield();
    }
    team_join(&t);
    pim_heap_audit(&pim_process_heap);
    EXPECT_GT(pim_load_relaxed(&given_back), 0);
}

SUITE(.set_up = core_set_up_with_clock)
