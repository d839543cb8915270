// test_account.c -- accounts by size class, read while the owner works, others
// free its blocks, and at last it ends.

#include "account/ledger.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/team.h"

#define ROUNDS TEAM_ROUNDS(60)
#define BLOCKS_A_ROUND 20000

// No thread has more than this many blocks outside the slots.
#define LIVE_MAX (EXCHANGE_SLOTS + 2 * TEAM_MAX)

static exchange x;
static fake_interp interp;
static int64_t id;
static uint64_t allocated; // by the owner, in this round

static void
free_from_outside(team_member *self)
{
    random_state r = random_from(self->number);
    while (!team_stops(self)) {
        exchange_put(&x, random_below(&r, EXCHANGE_SLOTS), NULL);
    }
}

// What is read was so at some moment of the read: never more than can be live, and
// what was ever is never less than it was.
static void
read_classes(team_member *self)
{
    static __thread pim_class_figures before;
    static __thread pim_class_figures now;
    before = (pim_class_figures){.live = {0}};
    while (!team_stops(self)) {
        EXPECT(pim_registry_class_figures(id, OBJ, &now));
        for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
            pim_usage u = pim_class_usage(&now, c);
            pim_usage was = pim_class_usage(&before, c);
            EXPECT_LE(u.live_blocks, LIVE_MAX);
            EXPECT_GE(u.peak_blocks, was.peak_blocks);
            EXPECT_GE(u.peak_bytes, u.live_bytes);
            EXPECT_GE(u.total_blocks, was.total_blocks);
            EXPECT_GE(u.total_bytes, was.total_bytes);
        }
        before = now;
    }
}

static void
allocate(random_state *r)
{
    for (unsigned i = 0; i < BLOCKS_A_ROUND; i++) {
        exchange_put(&x, random_below(r, EXCHANGE_SLOTS),
                     exchange_alloc(exchange_size(r, 20, 0)));
        allocated++;
    }
}

static void
expect_nothing_live(void)
{
    pim_class_figures figures;
    uint64_t total = 0;
    EXPECT(pim_registry_class_figures(id, OBJ, &figures));
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        pim_usage u = pim_class_usage(&figures, c);
        EXPECT_EQ(u.live_blocks, 0);
        EXPECT_EQ(u.live_bytes, 0);
        total += u.total_blocks;
    }
    EXPECT_EQ(total, allocated);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].total_blocks, allocated);
}

static pim_class_figures
process_classes(void)
{
    pim_class_figures figures;
    EXPECT(pim_registry_class_figures(PIM_PROCESS_ID, OBJ, &figures));
    return figures;
}

static void
begin_round(void)
{
    id = core_next_id();
    allocated = 0;
    fake_interp_begin(&interp, id);
    fake_interp_attach(&interp);
    exchange_put(&x, 0, exchange_alloc(8));
    allocated++;
}

TEST(classes_are_exact_though_others_read_and_free)
{
    random_state r = random_from(random_seed());
    for (unsigned round = 0; round < ROUNDS; round++) {
        team t = {.count = 0};
        begin_round();
        team_add(&t, free_from_outside);
        team_add(&t, read_classes);
        allocate(&r);
        exchange_clear(&x);
        team_join(&t);
        exchange_clear(&x);
        expect_nothing_live();
        fake_interp_stop(&interp);
        expect_nothing_live();
    }
}

TEST(classes_are_counted_once_when_blocks_are_freed_during_the_end)
{
    random_state r = random_from(random_seed());
    pim_class_figures before = process_classes();
    for (unsigned round = 0; round < ROUNDS * 4; round++) {
        team t = {.count = 0};
        begin_round();
        for (size_t i = 0; i < EXCHANGE_SLOTS; i++) {
            exchange_put(&x, i, exchange_alloc(exchange_size(&r, 100, 0)));
        }
        team_add(&t, free_from_outside);
        team_add(&t, free_from_outside);
        fake_interp_stop(&interp);
        team_join(&t);
        exchange_clear(&x);
    }
    pim_class_figures after = process_classes();
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        pim_usage was = pim_class_usage(&before, c);
        pim_usage is = pim_class_usage(&after, c);
        EXPECT_EQ(is.live_blocks, was.live_blocks);
        EXPECT_EQ(is.live_bytes, was.live_bytes);
        EXPECT_EQ(is.total_blocks, was.total_blocks);
    }
    pim_figures process = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(process.by_domain[OBJ].live_blocks, 0);
    EXPECT_EQ(process.by_domain[OBJ].live_bytes, 0);
}

SUITE(.set_up = core_set_up_with_clock)
