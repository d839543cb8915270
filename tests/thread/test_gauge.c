// test_gauge.c -- what is live and its peak, read while the owner counts.

#include "account/ledger.h"
#include "support/expect.h"
#include "support/random.h"
#include "support/team.h"

#define ROUNDS TEAM_ROUNDS(20000000)
#define LOW 1000
#define HIGH 1000000
#define CLASS 3

static pim_account account[PIM_DOMAINS];
static pim_pending pending[PIM_DOMAINS];
static _Atomic uint32_t folding;
static const pim_ledger ledger = {account, pending, &folding};
static _Atomic bool done;

static void
hand(pim_account *to, uint64_t bytes)
{
    if (!pim_account_hand(to, CLASS, bytes)) {
        pim_account_look(to, CLASS);
    }
}

TEST(account_counts_live_and_peak)
{
    static pim_account a;
    EXPECT_EQ(pim_account_live_bytes(&a), 0);
    pim_account_add(&a, PIM_CLASS_LARGE, 100);
    pim_account_add(&a, PIM_CLASS_LARGE, (uint64_t)1 << 40);
    EXPECT_EQ(pim_account_live_bytes(&a), ((uint64_t)1 << 40) + 100);
    EXPECT_EQ(pim_account_live_blocks(&a, PIM_CLASS_LARGE), 2);
    pim_account_remove(&a, PIM_CLASS_LARGE, (uint64_t)1 << 40);
    pim_account_remove(&a, PIM_CLASS_LARGE, 100);
    EXPECT_EQ(pim_account_live_bytes(&a), 0);
    EXPECT_EQ(pim_account_live_blocks(&a, PIM_CLASS_LARGE), 0);
    EXPECT_EQ(pim_load_relaxed(&a.peak), ((uint64_t)1 << 40) + 100);
    EXPECT_EQ(pim_load_relaxed(&a.class_peak[PIM_CLASS_LARGE]), 2);
}

// A peak may be missed by less than was granted.
TEST(peak_is_exact_to_a_credit)
{
    static pim_account a;
    uint64_t top = 0;
    for (unsigned i = 0; i < 5000; i++) {
        hand(&a, 64);
        top = pim_account_live_bytes(&a);
        EXPECT_LE(pim_load_relaxed(&a.peak), top);
        EXPECT_LE(top - pim_load_relaxed(&a.peak),
                  top / PIM_CREDIT_SHARE + PIM_CREDIT_MIN);
    }
    EXPECT_EQ(top, 5000 * 64);
    for (unsigned i = 0; i < 5000; i++) {
        pim_account_take(&a, CLASS, 64);
    }
    EXPECT_EQ(pim_account_live_bytes(&a), 0);
    EXPECT_GE(pim_load_relaxed(&a.peak),
              top - top / PIM_CREDIT_SHARE - PIM_CREDIT_MIN);
}

// Always between LOW and HIGH, with new peaks all along.
static void
swing(team_member *self)
{
    random_state r = random_from(self->number);
    uint64_t live = LOW;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t top = LOW + (uint64_t)i * (HIGH - LOW) / ROUNDS + 1;
        uint64_t to = LOW + random_below(&r, top - LOW + 1);
        if (to > live) {
            hand(&account[0], to - live);
        } else {
            pim_account_take(&account[0], CLASS, live - to);
        }
        live = to;
        EXPECT_EQ(pim_account_live_bytes(&account[0]), live); // for the owner
    }
    pim_store_relaxed(&done, true);
}

static void
watch(team_member *self)
{
    (void)self;
    uint64_t peak = 0;
    while (!pim_load_relaxed(&done)) {
        uint64_t live;
        if (pim_ledger_live_bytes(&ledger, &live)) {
            EXPECT_GE(live, LOW);
            EXPECT_LE(live, HIGH);
        }
        uint64_t now = pim_load_relaxed(&account[0].peak);
        EXPECT_GE(now, peak);
        peak = now;
    }
}

TEST(what_others_read_was_live_at_some_moment)
{
    team t = {0};
    hand(&account[0], LOW);
    team_add(&t, swing);
    team_add(&t, watch);
    team_add(&t, watch);
    team_join(&t);
    EXPECT_LE(pim_load_relaxed(&account[0].peak), HIGH);
}

SUITE()
