// test_limit.c -- limits that change while their interpreters allocate, end and begin.

#include "domain/domain.h"
#include "heap/alloc.h"
#include "heap/audit.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/random.h"
#include "support/team.h"

#define MIB ((uint64_t)1 << 20)
#define INTERPRETERS 2
#define BLOCKS 2000

static _Atomic int64_t ids[INTERPRETERS];
static _Atomic uint64_t reported[INTERPRETERS];
static _Atomic unsigned finished;

static void
note(void *arg, const pimalloc_refusal *refusal)
{
    // What is reported was set in one call.
    EXPECT(arg == &reported[0] || arg == &reported[1]);
    EXPECT_EQ(refusal->soft_bytes, arg == &reported[0] ? MIB : 2 * MIB);
    pim_add_relaxed((_Atomic uint64_t *)arg, 1);
}

static void
set_terms(void *arg, pim_heap *heap)
{
    pim_limit_set(&heap->limit, arg);
}

// One life of an interpreter that allocates all the time.
static void
live_once(fake_interp *interp, random_state *r, unsigned number)
{
    void *blocks[BLOCKS] = {NULL};
    int64_t id = core_next_id();
    fake_interp_begin(interp, id);
    fake_interp_attach(interp);
    pim_heap *heap = fake_current_heap();
    pim_store_release(&ids[number], id);
    for (unsigned i = 0; i < 50000; i++) {
        unsigned at = (unsigned)random_below(r, BLOCKS);
        pim_obj_free(NULL, blocks[at]);
        size_t most = random_below(r, 50) == 0 ? 200000 : 3000;
        blocks[at] = pim_obj_malloc(NULL, 1 + random_below(r, most));
    }
    pim_heap_audit(heap);
    for (unsigned i = 0; i < BLOCKS; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_bytes, 0);
    fake_interp_stop(interp);
}

static void
allocate(team_member *self)
{
    fake_interp interp;
    random_state r = random_from(self->number);
    for (unsigned i = 0; i < TEAM_ROUNDS(12); i++) {
        live_once(&interp, &r, self->number);
    }
    pim_add_relaxed(&finished, 1);
}

static void
change(team_member *self)
{
    random_state r = random_from(self->number);
    while (pim_load_relaxed(&finished) < INTERPRETERS) {
        unsigned kind = (unsigned)random_below(&r, 3);
        pim_limit_terms terms = {0};
        if (kind != 2) {
            terms = (pim_limit_terms){.soft_bytes = kind == 0 ? MIB : 2 * MIB,
                                      .hard_bytes = 3 * MIB,
                                      .callback = note,
                                      .arg = &reported[kind]};
        }
        int64_t id = pim_load_acquire(&ids[random_below(&r, INTERPRETERS)]);
        pim_registry_visit(id, set_terms, &terms);
    }
}

TEST(limits_may_change_at_any_time_from_any_thread)
{
    team t = {0};
    for (unsigned i = 0; i < INTERPRETERS; i++) {
        team_add(&t, allocate);
    }
    team_add(&t, change);
    team_join(&t);
}

SUITE(.set_up = core_set_up_with_clock)
