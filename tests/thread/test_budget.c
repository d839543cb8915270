// test_budget.c -- interpreters that count together, at work at once.

#include "account/budget.h"
#include "domain/domain.h"
#include "heap/admit.h"
#include "heap/audit.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/random.h"
#include "support/team.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (24 * MIB)
#define HARD (26 * MIB)
#define WORKERS 3
#define BLOCKS 4000

static fake_interp tenant;
static int64_t tenant_id;
static _Atomic int64_t ids[WORKERS];
static _Atomic uint64_t refusals;
static _Atomic unsigned finished;

static void
note(void *arg, const pimalloc_refusal *refusal)
{
    EXPECT_EQ(refusal->interp, tenant_id);
    EXPECT_LE(refusal->soft_bytes, SOFT);
    pim_add_relaxed((_Atomic uint64_t *)arg, 1);
}

static const pim_limit_terms strict = {SOFT, HARD, note, &refusals};
static const pim_limit_terms loose = {SOFT / 2, HARD, note, &refusals};

static void
set_terms(void *arg, pim_heap *heap)
{
    pim_limit_set(&heap->limit, arg);
}

static void
be_tenant(void)
{
    fake_interp_attach(&tenant);
    EXPECT_NOT_NULL(fake_current_heap());
}

static int
begin(void **state)
{
    (void)state;
    tenant_id = core_next_id();
    pim_store_relaxed(&finished, 0);
    fake_interp_begin(&tenant, tenant_id);
    be_tenant();
    EXPECT(
        pim_registry_visit(tenant_id, set_terms, (void *)(uintptr_t)&strict));
    fake_interp_detach(&tenant);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    be_tenant();
    pim_heap_audit(fake_current_heap());
    EXPECT_EQ(fake_limit(fake_current_heap()).tree_bytes, 0);
    fake_interp_stop(&tenant);
    pim_budget_audit();
    return 0;
}

static uint64_t
charged(void)
{
    pim_budget_acquire();
    uint64_t bytes = pim_budget_of(tenant_id)->charged;
    pim_budget_release();
    return bytes;
}

// The tenant makes an interpreter, which is current then.  False: there is no room.
static bool
make(fake_interp *interp, int64_t id)
{
    be_tenant();
    fake_interp_detach(&tenant);
    if (!fake_interp_make(interp, id)) {
        return false;
    }
    fake_interp_attach(interp);
    EXPECT_NOT_NULL(fake_current_heap());
    fake_interp_detach(interp);
    be_tenant(); // CPython is done with it
    fake_interp_detach(&tenant);
    fake_interp_attach(interp);
    return true;
}

static void
work(random_state *r, void **blocks, unsigned steps)
{
    pim_heap *heap = fake_current_heap();
    for (unsigned i = 0; i < steps; i++) {
        unsigned at = (unsigned)random_below(r, BLOCKS);
        const core_domain *d = &core_domains[at % PIM_DOMAINS];
        size_t most = at % PIM_DOMAINS != PIM_RAW && random_below(r, 40) == 0
                          ? 300000
                          : 3000;
        d->free(NULL, blocks[at]);
        blocks[at] = d->malloc(NULL, 1 + random_below(r, most));
        if (i % 256 == 0) {
            pim_limit_audit(heap);
        }
    }
}

static void
live_once(team_member *self, random_state *r)
{
    static void *blocks[WORKERS][BLOCKS];
    fake_interp interp;
    int64_t id = core_next_id();
    if (!make(&interp, id)) {
        return;
    }
    pim_store_release(&ids[self->number], id);
    work(r, blocks[self->number], 20000);
    pim_heap_audit(fake_current_heap());
    for (unsigned i = 0; i < BLOCKS; i++) {
        core_domains[i % PIM_DOMAINS].free(NULL, blocks[self->number][i]);
        blocks[self->number][i] = NULL;
    }
    fake_interp_stop(&interp);
}

static void
work_in_many_lives(team_member *self)
{
    random_state r = random_from(self->number);
    for (unsigned i = 0; i < TEAM_ROUNDS(10); i++) {
        live_once(self, &r);
    }
    pim_add_relaxed(&finished, 1);
}

static void
look_on(team_member *self)
{
    (void)self;
    while (pim_load_relaxed(&finished) < WORKERS) {
        EXPECT_LE(charged(), HARD);
        pim_budget_audit();
    }
}

// Members work, end and are made, and what is charged is never more than may be.
TEST(members_at_work_at_once_stay_below_their_limit)
{
    team t = {0};
    for (unsigned i = 0; i < WORKERS; i++) {
        team_add(&t, work_in_many_lives);
    }
    team_add(&t, look_on);
    team_join(&t);
    EXPECT_GT(pim_load_relaxed(&refusals), 0);
}

static void
change(team_member *self)
{
    random_state r = random_from(self->number);
    while (pim_load_relaxed(&finished) < WORKERS) {
        int64_t id = pim_load_acquire(&ids[random_below(&r, WORKERS)]);
        const pim_limit_terms none = {0};
        const pim_limit_terms *terms = random_below(&r, 4) == 0   ? &none
                                       : random_below(&r, 2) == 0 ? &strict
                                                                  : &loose;
        switch (random_below(&r, 4)) {
        case 0:
            pim_limit_count_for(id, PIM_PROCESS_ID);
            break;
        case 1:
            pim_limit_count_for(id, tenant_id);
            break;
        default:
            EXPECT(pim_registry_visit(tenant_id, set_terms,
                                      (void *)(uintptr_t)terms));
            break;
        }
        pim_budget_audit();
    }
    EXPECT(
        pim_registry_visit(tenant_id, set_terms, (void *)(uintptr_t)&strict));
}

TEST(who_counts_for_whom_may_change_at_any_time)
{
    team t = {0};
    for (unsigned i = 0; i < WORKERS; i++) {
        team_add(&t, work_in_many_lives);
    }
    team_add(&t, change);
    team_join(&t);
}

// All at rest: to the byte.
static void *kept[WORKERS][BLOCKS];
static fake_interp workers[WORKERS];

static void
fill_up(team_member *self)
{
    random_state r = random_from(self->number);
    fake_interp_attach(&workers[self->number]);
    for (unsigned i = 0; i < 10; i++) {
        work(&r, kept[self->number], 5000);
    }
    fake_interp_detach(&workers[self->number]);
}

TEST(what_members_have_together_is_below_the_limit_to_the_byte)
{
    for (unsigned round = 0; round < TEAM_ROUNDS(5); round++) {
        team t = {0};
        for (unsigned i = 0; i < WORKERS; i++) {
            EXPECT(make(&workers[i], core_next_id()));
            fake_interp_detach(&workers[i]);
        }
        for (unsigned i = 0; i < WORKERS; i++) {
            team_add(&t, fill_up);
        }
        team_join(&t);
        be_tenant();
        EXPECT_LE(fake_limit(fake_current_heap()).tree_bytes, HARD);
        EXPECT_GT(fake_limit(fake_current_heap()).tree_bytes, SOFT / 2);
        fake_interp_detach(&tenant);
        for (unsigned i = 0; i < WORKERS; i++) {
            fake_interp_attach(&workers[i]);
            for (unsigned at = 0; at < BLOCKS; at++) {
                core_domains[at % PIM_DOMAINS].free(NULL, kept[i][at]);
                kept[i][at] = NULL;
            }
            fake_interp_detach(&workers[i]);
            fake_interp_end(&workers[i]);
        }
    }
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)
