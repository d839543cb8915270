// test_gauge.c -- what is live and its peak, read while the owner counts.

#include "account/account.h"
#include "support/expect.h"
#include "support/random.h"
#include "support/team.h"

#define ROUNDS TEAM_ROUNDS(20000000)
#define LOW 1000
#define HIGH 100000

static pim_gauge gauge;
static _Atomic bool done;

TEST(gauge_counts_live_and_peak)
{
    static pim_gauge g;
    EXPECT_EQ(pim_gauge_live(&g), 0);
    pim_gauge_grow(&g, 100);
    pim_gauge_grow(&g, (uint64_t)1 << 40);
    EXPECT_EQ(pim_gauge_live(&g), ((uint64_t)1 << 40) + 100);
    pim_gauge_shrink(&g, (uint64_t)1 << 40);
    pim_gauge_shrink(&g, 100);
    EXPECT_EQ(pim_gauge_live(&g), 0);
    EXPECT_EQ(pim_load_relaxed(&g.peak), ((uint64_t)1 << 40) + 100);
    pim_gauge_grow(&g, ((uint64_t)1 << 40) + 100); // up to the peak: no new one
    EXPECT_EQ(pim_load_relaxed(&g.headroom), 0);
    pim_gauge_grow(&g, 1);
    EXPECT_EQ(pim_load_relaxed(&g.peak), ((uint64_t)1 << 40) + 101);
    EXPECT_EQ(pim_gauge_live(&g), ((uint64_t)1 << 40) + 101);
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
            pim_gauge_grow(&gauge, to - live);
        } else {
            pim_gauge_shrink(&gauge, live - to);
        }
        live = to;
        EXPECT_EQ(pim_gauge_live(&gauge), live); // exact for the owner
    }
    pim_store_relaxed(&done, true);
}

static void
watch(team_member *self)
{
    (void)self;
    uint64_t peak = 0;
    while (!pim_load_relaxed(&done)) {
        uint64_t live = pim_gauge_live(&gauge);
        uint64_t now = pim_load_relaxed(&gauge.peak);
        EXPECT_GE(live, LOW);
        EXPECT_LE(live, HIGH);
        EXPECT_GE(now, peak);
        peak = now;
    }
}

TEST(what_others_read_was_live_at_some_moment)
{
    team t = {0};
    pim_gauge_grow(&gauge, LOW);
    team_add(&t, swing);
    team_add(&t, watch);
    team_add(&t, watch);
    team_join(&t);
    EXPECT_LE(pim_load_relaxed(&gauge.peak), HIGH);
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(gauge_counts_live_and_peak),
        CASE(what_others_read_was_live_at_some_moment),
    };
    return RUN(cases, NULL, NULL);
}
