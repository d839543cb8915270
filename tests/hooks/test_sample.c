// test_sample.c -- what samples say against what was so, on interpreters without
// Python: no stacks, so all samples of a domain and thread are one sum.

#include <errno.h>
#include <math.h>
#include <string.h>

#include "cpython/symbols.h"
#include "abandoned/poison.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "heap/large_header.h"
#include "heap/sampled.h"
#include "hooks/intern.h"
#include "hooks/sample.h"
#include "hooks/stacks.h"
#include "interp/roster.h"
#include "support/census.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/random.h"
#include "support/refusals.h"
#include "support/team.h"

#define SEEDS 20
#define PERIOD 16384
#define MIB ((uint64_t)1 << 20)

// Tiny, of the classes above, a span, one of several units, maps.
static const size_t sizes[] = {16,    40,    200,    512,    3000,
                               30000, 40000, 150000, 1500000};
#define SIZES PIM_ARRAY_LEN(sizes)

static fake_interp a, b;

static PyThreadState *
no_tstate(void)
{
    return NULL;
}

static int
set_up(void **state)
{
    (void)state;
    core_start();
    pim_py.tstate = no_tstate;
    return 0;
}

static int
begin(void **state)
{
    (void)state;
    fake_interp_start(&a);
    fake_interp_detach(&a);
    fake_interp_start(&b);
    fake_interp_swap(&a);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    pimalloc_profile_stop();
    for (fake_interp *each = &a; each != NULL; each = each == &a ? &b : NULL) {
        if (each->block != NULL) {
            fake_interp_swap(each);
            pim_heap_audit(fake_current_heap());
            fake_interp_swap(NULL);
            fake_interp_end(each);
        }
    }
    pthread_mutex_destroy(&b.own_gil);
    return 0;
}

static pimalloc_profile_figures
figures(void)
{
    pimalloc_profile_figures f = {.size = sizeof(f)};
    EXPECT_EQ(pimalloc_profile_get(&f), 0);
    return f;
}

// A profile of interpreters that it sees from their first block on.
static void
start(uint64_t period, uint64_t seed)
{
    pim_sample_seed(seed);
    EXPECT_EQ(pimalloc_profile_start(period, 0), 0);
}

static bool
is_sampled(const void *block)
{
    return !pim_region_contains(block) && pim_large_header(block)->mark != 0;
}

// What an account counts for it, whether it was exchanged or not.
static uint64_t
counted_bytes(const void *block, size_t size)
{
    return size <= PIM_SPAN_MAX ? core_block_bytes(size)
                                : pim_large_usable(block);
}

// SAMPLE-1: nothing is live.
static void
expect_nothing_live(void)
{
    pim_sample_state state;
    static pim_sample_sum sums[PIM_SAMPLE_SUMS];
    EXPECT(pim_sample_copy(sums, &state));
    for (size_t i = 0; i < state.count; i++) {
        EXPECT(fabs(sums[i].live_blocks) <= 1e-6 * sums[i].total_blocks);
        EXPECT(fabs(sums[i].live_bytes) <= 1e-6 * sums[i].total_bytes);
    }
}

// --- estimates ---------------------------------------------------------------

// What was so, and how far from it samples may be.
typedef struct truth {
    double bytes;
    double variance;
} truth;

static void
add(truth *t, uint64_t period, uint64_t bytes)
{
    double s = (double)bytes;
    double p = -expm1(-s / (double)period);
    t->bytes += s;
    t->variance += s * s * (1 - p) / p;
}

static void
expect_near(const truth *t, uint64_t estimate)
{
    EXPECT(fabs((double)estimate - t->bytes) <= 3 * sqrt(t->variance) + 1);
}

// Both domains of a new interpreter ask for so many bytes; every fourth block
// stays until the end.
static void
use_memory(uint64_t period, uint64_t bytes, truth *all, truth *live)
{
    enum { KEPT = 65536 };
    static void *kept[KEPT];
    unsigned count = 0;
    fake_interp one;
    random_state random = random_from(5);
    fake_interp_start(&one);
    while (all->bytes < (double)bytes) {
        size_t size = sizes[random_below(&random, SIZES)];
        size = random_below(&random, 400) == 0 ? size : size % 1000 + 1;
        const core_domain *d = &core_domains[random_below(&random, 2) + 1];
        void *block = d->malloc(NULL, size);
        uint64_t counted = counted_bytes(block, size);
        add(all, period, counted);
        if (random_below(&random, 4) == 0 && count < KEPT) {
            add(live, period, counted);
            kept[count++] = block;
        } else {
            d->free(NULL, block);
        }
    }
    pimalloc_profile_figures f = figures();
    expect_near(all, f.total_bytes);
    expect_near(live, f.live_bytes);
    EXPECT_EQ(f.dropped, 0);
    census_expect_figures(fake_current_heap(), one.state->id); // ACCOUNT-1
    for (unsigned i = 0; i < count; i++) {
        pim_obj_free(NULL, kept[i]);
    }
    expect_nothing_live();
    fake_interp_stop(&one);
}

// The mean of all seeds within 1 %, each within three standard deviations.
static void
expect_estimates(uint64_t period, uint64_t bytes)
{
    double sum = 0;
    double samples = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        truth all = {0};
        truth live = {0};
        start(period, seed);
        use_memory(period, bytes, &all, &live);
        pimalloc_profile_figures f = figures();
        sum += (double)f.total_bytes / all.bytes / SEEDS;
        samples += (double)f.samples;
        EXPECT_EQ(pimalloc_profile_stop(), 0);
    }
    EXPECT_GT(samples, SEEDS * 1000);
    EXPECT(fabs(sum - 1) < 0.01);
}

TEST(estimates_are_the_totals)
{
    expect_estimates(PERIOD, 96 * MIB);
}

// Where most blocks are samples, and what takes their places is as much as they
// are.
TEST(so_they_are_where_samples_are_many)
{
    expect_estimates(1024, 8 * MIB);
}

// --- what is live ------------------------------------------------------------

#define MANY 2000
static void *many[MANY];

static unsigned
sampled_of_many(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < MANY; i++) {
        n += is_sampled(many[i]);
    }
    return n;
}

static void
fill(const core_domain *d)
{
    for (unsigned i = 0; i < MANY; i++) {
        size_t size = sizes[i % (SIZES - 2)];
        many[i] = d->calloc(NULL, 1, size);
        EXPECT_NOT_NULL(many[i]);
        for (size_t at = 0; at < size; at += 7) {
            EXPECT_EQ(((char *)many[i])[at], 0);
        }
        memset(many[i], (int)i, size);
    }
    EXPECT_GT(sampled_of_many(), MANY / 100);
    EXPECT_GT(figures().live_bytes, MIB);
}

TEST(zeroed_blocks_are_zeroed_and_freed_by_their_owner)
{
    start(1024, 1);
    for (unsigned d = 1; d < 3; d++) {
        fill(&core_domains[d]);
        census_expect_figures(fake_current_heap(), a.state->id);
        core_free_all(d, many, MANY);
        expect_nothing_live();
    }
}

TEST(blocks_are_freed_by_others)
{
    start(1024, 1);
    fill(&core_domains[PIM_OBJ]);
    fake_interp_swap(&b);
    core_free_all(PIM_OBJ, many, MANY / 2);
    fake_interp_swap(NULL);
    core_free_all(PIM_OBJ, many + MANY / 2, MANY / 2);
    expect_nothing_live();
    fake_interp_swap(&a);
    EXPECT_EQ(fake_figures(a.state->id).by_domain[OBJ].live_blocks, 0);
}

TEST(blocks_are_resized)
{
    start(1024, 1);
    fill(&core_domains[PIM_MEM]);
    random_state random = random_from(3);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            size_t size = sizes[random_below(&random, SIZES - 1)];
            char *block = core_domains[PIM_MEM].realloc(NULL, many[i], size);
            EXPECT_NOT_NULL(block);
            EXPECT_EQ(block[0], (char)i);
            memset(block, (int)i, size);
            many[i] = block;
        }
    }
    census_expect_figures(fake_current_heap(), a.state->id);
    core_free_all(PIM_MEM, many, MANY);
    expect_nothing_live();
}

// A list that grows moves into spans with room, and then into maps.
TEST(what_grows_is_sampled_where_it_moves)
{
    start(1024, 1);
    uint64_t before = figures().samples;
    void *block = NULL;
    for (size_t size = 64; size < 4 * MIB; size += size / 8) {
        block = pim_mem_realloc(NULL, block, size);
        memset(block, 1, size);
    }
    EXPECT_GT(figures().samples, before + 10);
    pim_mem_free(NULL, block);
    expect_nothing_live();
}

// Of a poisoned interpreter blocks of mimalloc's stay, and so do sampled ones.
static void
end_under(int policy)
{
    fake_interp one;
    fake_interp_swap(NULL);
    pim_store_relaxed(&pim_policy_of_new, policy);
    fake_interp_start(&one);
    fill(&core_domains[PIM_OBJ]);
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
    void *map = pim_obj_malloc(NULL, sizes[SIZES - 1]);
    EXPECT(is_sampled(map));
    unsigned left = 0;
    for (unsigned i = 0; i < MANY; i++) {
        if (policy == PIM_KEEP || is_sampled(many[i])) {
            many[left++] = many[i];
        }
    }
    fake_interp_stop(&one);
    fake_interp_swap(&a);
    if (policy == PIM_KEEP) {
        pim_obj_free(NULL, map);
    }
    if (policy != PIM_RELEASE) {
        core_free_all(PIM_OBJ, many, left);
    }
    expect_nothing_live();
}

TEST(interpreters_end_under_each_policy)
{
    start(1024, 1);
    for (int policy = PIM_KEEP; policy <= PIM_RELEASE; policy++) {
        end_under(policy);
    }
}

// --- which profile -----------------------------------------------------------

// An account that awaits a sample in a TiB is not to wait for it.
TEST(a_profile_awaits_samples_of_its_own)
{
    start((uint64_t)1 << 40, 1);
    core_fill(PIM_OBJ, many, MANY, 100);
    EXPECT_EQ(figures().samples, 0);
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    EXPECT_EQ(pimalloc_profile_stop(), -ESRCH);
    start(1024, 1);
    core_free_all(PIM_OBJ, many, MANY);
    core_fill(PIM_OBJ, many, MANY, 100);
    EXPECT_GT(figures().samples, 80);
    EXPECT_EQ(pimalloc_profile_start(1024, 0), -EALREADY);
    core_free_all(PIM_OBJ, many, MANY);
}

TEST(blocks_of_an_earlier_profile_are_nobodys)
{
    start(1024, 1);
    core_fill(PIM_OBJ, many, MANY, 512);
    pimalloc_profile_figures before = figures();
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    EXPECT_EQ(figures().period, 0);
    EXPECT_EQ(figures().live_bytes, before.live_bytes); // it can be saved
    core_free_all(PIM_OBJ, many, MANY / 2);
    EXPECT_EQ(figures().live_bytes, before.live_bytes); // later, too
    for (unsigned i = 0; i < 254; i++) { // then its number once came again
        start(1024, 1);
        EXPECT_EQ(pimalloc_profile_stop(), 0);
    }
    start(1024, 1);
    core_fill(PIM_OBJ, many, MANY / 2, 512);
    before = figures();
    core_free_all(PIM_OBJ, many + MANY / 2, MANY / 2);
    EXPECT_EQ(figures().live_bytes, before.live_bytes);
    core_free_all(PIM_OBJ, many, MANY / 2);
    expect_nothing_live();
}

TEST(what_is_out_of_range_is_refused)
{
    EXPECT_EQ(pimalloc_profile_start(1023, 0), -EINVAL);
    EXPECT_EQ(pimalloc_profile_start(((uint64_t)1 << 40) + 1, 0), -EINVAL);
    EXPECT_EQ(pimalloc_profile_start(0, 257), -EINVAL);
    pimalloc_profile_figures f = {.size = sizeof(f) - 1};
    EXPECT_EQ(pimalloc_profile_get(&f), -EINVAL);
    EXPECT_EQ(pimalloc_profile_get(NULL), -EINVAL);
    EXPECT_NOT_NULL(pimalloc_profile_why()); // there is no Python
}

// A span that grows where it is has no mark, and leaves none to the next block.
TEST(what_grows_in_place_is_no_sample)
{
    start((uint64_t)1 << 20, 1);
    random_state random = random_from(9);
    for (unsigned i = 0; i < 2000; i++) {
        size_t size = 20000;
        void *block = pim_obj_malloc(NULL, size);
        unsigned before = (unsigned)figures().samples;
        size_t more = size + random_below(&random, 12000);
        void *grown = pim_obj_realloc(NULL, block, more);
        EXPECT(grown != block || figures().samples == before);
        pim_obj_free(NULL, grown);
    }
    expect_nothing_live();
}

// --- room --------------------------------------------------------------------

TEST(what_there_is_no_room_for_is_counted)
{
    enum { MORE = 1000 };
    static pim_heap heap;
    static uint64_t marks[PIM_SAMPLE_SUMS];
    const pim_sampler *sampler;
    start(1024, 1);
    sampler = pim_load_acquire(&pim_sampler_now);
    uint64_t before = figures().samples;
    for (unsigned i = 0; i < PIM_SAMPLE_SUMS; i++) {
        heap.id = i + 1000000;
        marks[i] = sampler->take(&heap, PIM_OBJ, 100000);
        EXPECT_NE(marks[i], 0);
    }
    EXPECT_EQ(figures().dropped, 0);
    for (unsigned i = 0; i < MORE; i++) {
        heap.id = i + 2000000;
        EXPECT_EQ(sampler->take(&heap, PIM_OBJ, 100000), 0);
        heap.id = i + 1000000; // there is room for what is known
        sampler->freed(sampler->take(&heap, PIM_OBJ, 100000));
    }
    EXPECT_EQ(figures().dropped, MORE);
    EXPECT_EQ(figures().samples, before + PIM_SAMPLE_SUMS + 2 * MORE);
    EXPECT_EQ(figures().live_bytes, PIM_SAMPLE_SUMS * UINT64_C(100000));
    for (unsigned i = 0; i < PIM_SAMPLE_SUMS; i++) {
        sampler->freed(marks[i]);
    }
    expect_nothing_live();
}

// --- limits ------------------------------------------------------------------

#define SOFT (4 * MIB)
#define HARD (5 * MIB)

// How many blocks there are until one is refused, all of which are freed.
static uint64_t
use_up(size_t size)
{
    enum { ROOM = 300000 };
    static void *all[ROOM];
    unsigned n = 0;
    while (n < ROOM && (all[n] = pim_obj_malloc(NULL, size)) != NULL) {
        n++;
    }
    EXPECT_LT(n, ROOM);
    EXPECT_LE(fake_limit(fake_current_heap()).tree_bytes, HARD);
    pim_heap_audit(fake_current_heap());
    core_free_all(PIM_OBJ, all, n);
    return n;
}

// A sample near the limit is not refused, and does not exceed it, but for what
// mimalloc's classes are larger: an eighth.
TEST(a_limit_holds_and_serves_as_much)
{
    static const size_t some[] = {16, 64, 500, 3000, 40000};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(some); i++) {
        limit_heap(fake_current_heap(), SOFT, HARD);
        uint64_t without = use_up(some[i]);
        start(1024, i + 1);
        uint64_t with = use_up(some[i]);
        EXPECT_GE(with, without - without / 8 - 2);
        EXPECT_LE(with * some[i], HARD); // spans are larger than what they hold
        expect_nothing_live();
        EXPECT_EQ(pimalloc_profile_stop(), 0);
        limit_heap(fake_current_heap(), 0, 0);
    }
}

// --- memory is short ---------------------------------------------------------

TEST(a_block_that_cannot_be_exchanged_stays)
{
    start(1024, 1);
    fake_mi_fail(1, true);
    core_fill(PIM_OBJ, many, MANY, 512);
    void *span = pim_obj_calloc(NULL, 1, 40000);
    fake_mi_heal();
    EXPECT_NOT_NULL(span);
    EXPECT_EQ(sampled_of_many(), 0);
    EXPECT_GT(figures().samples, MANY / 4);
    EXPECT_GT(figures().total_bytes, MIB / 2);
    expect_nothing_live();
    pim_obj_free(NULL, span);
    core_free_all(PIM_OBJ, many, MANY);
}

// --- processes and threads ---------------------------------------------------

static void
go_on_in_child(void *arg)
{
    const pimalloc_profile_figures *parent = arg;
    pimalloc_profile_figures f = figures();
    EXPECT_EQ(f.period, parent->period);
    EXPECT_EQ(f.samples, 0);
    EXPECT_EQ(f.total_bytes, 0);
    core_free_all(PIM_OBJ, many, MANY); // which are the parent's samples
    EXPECT_EQ(figures().live_bytes, 0);
    core_fill(PIM_OBJ, many, MANY, 512);
    EXPECT_GT(figures().samples, MANY / 4);
    core_free_all(PIM_OBJ, many, MANY);
    expect_nothing_live();
}

TEST(a_forked_child_begins_anew)
{
    char text[512];
    start(1024, 1);
    core_fill(PIM_OBJ, many, MANY, 512);
    pimalloc_profile_figures before = figures();
    EXPECT_EQ(core_in_child(go_on_in_child, &before, text, sizeof(text)), 0);
    EXPECT_EQ(figures().live_bytes, before.live_bytes);
    EXPECT_EQ(figures().samples, before.samples);
    core_free_all(PIM_OBJ, many, MANY);
    expect_nothing_live();
}

#define MAILBOXES 64
static _Atomic(void *) mailboxes[MAILBOXES];

static void
come_and_go(team_member *self)
{
    random_state random = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp one;
        fake_interp_start(&one);
        for (unsigned i = 0; i < 500; i++) {
            size_t size = sizes[random_below(&random, SIZES - 1)];
            const core_domain *d = &core_domains[random_below(&random, 2) + 1];
            void *mine = d->calloc(NULL, 1, size);
            if (random_below(&random, 3) == 0) {
                mine = d->realloc(NULL, mine, size + 1000);
            }
            unsigned box = (unsigned)random_below(&random, MAILBOXES);
            d->free(NULL, pim_exchange(&mailboxes[box], mine));
        }
        fake_interp_stop(&one);
    }
}

static void
empty_mailboxes(void)
{
    for (unsigned i = 0; i < MAILBOXES; i++) {
        pim_obj_free(NULL, pim_exchange(&mailboxes[i], NULL));
    }
}

TEST(threads_free_one_anothers_samples)
{
    team t = {.count = 0};
    start(1024, 1);
    for (unsigned i = 0; i < 3; i++) {
        team_add(&t, come_and_go);
    }
    while (figures().samples < TEAM_ROUNDS(60000)) {
        sched_yield();
    }
    team_join(&t);
    fake_interp_swap(NULL);
    empty_mailboxes();
    expect_nothing_live();
}

TEST(profiles_come_and_go_beside_threads)
{
    team t = {.count = 0};
    team_add(&t, come_and_go);
    team_add(&t, come_and_go);
    for (unsigned i = 0; i < TEAM_ROUNDS(600); i++) {
        start(1024 << i % 4, i + 1);
        while (figures().samples < 20) {
            sched_yield();
        }
        EXPECT_EQ(pimalloc_profile_stop(), 0);
    }
    start(1024, 1);
    team_join(&t);
    fake_interp_swap(NULL);
    empty_mailboxes();
    expect_nothing_live();
}

SUITE(.set_up = set_up, .begin = begin, .end = end)
