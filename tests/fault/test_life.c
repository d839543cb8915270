// test_life.c -- every call of the system and of mimalloc fails in turn, over a
// whole life: set-up, birth, blocks of all kinds, growth, end, late frees.
//
// Each trial runs in a child, so that each begins with nothing.  A request that
// fails gives NULL and changes nothing; afterwards everything is given back and
// the same life works without failures.  Records of heaps, bindings and threads
// stay mapped by design (HEAP-3), descriptor tables stay committed.

#include <stdlib.h>
#include <sys/mman.h>

#include "account/ledger.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"

#define REGION ((size_t)64 << 20)
#define TRIALS_MAX 400

// What is failed in a trial, and what came of it; shared with the child.
typedef struct trial {
    unsigned os_kinds; // 0: mimalloc
    uint64_t nth;
    bool and_rest;
    uint64_t failed; // calls that were made to fail
} trial;

static trial *now;

static void
heal(void)
{
    fake_os_heal();
    fake_mi_heal();
}

// --- one life --------------------------------------------------------------------

static const size_t sizes[] = {1,     48,     500,     600,     3000,    9000,
                               30000, 100000, 1000000, 5000000, 40000000};

#define KINDS PIM_ARRAY_LEN(sizes)

typedef struct life {
    fake_interp interp;
    unsigned char *blocks[2 * KINDS];
    size_t lengths[2 * KINDS];
    uint64_t refused;
} life;

static void
mark(life *l, unsigned i, size_t size)
{
    l->lengths[i] = size;
    l->blocks[i][0] = (unsigned char)i;
    l->blocks[i][size - 1] = (unsigned char)(i + 1);
}

static void
check(const life *l, unsigned i)
{
    size_t size = l->lengths[i];
    if (l->blocks[i] != NULL && size > 1) {
        EXPECT_EQ(l->blocks[i][0], i);
        EXPECT_EQ(l->blocks[i][size - 1], i + 1);
    }
}

static void
allocate(life *l)
{
    for (unsigned i = 0; i < 2 * KINDS; i++) {
        const core_domain *d = &core_domains[PIM_MEM + i % 2];
        size_t size = sizes[i / 2];
        l->blocks[i] =
            i % 4 < 2 ? d->malloc(NULL, size) : d->calloc(NULL, 1, size);
        l->refused += l->blocks[i] == NULL;
        if (l->blocks[i] != NULL) {
            EXPECT(i % 4 < 2 || l->blocks[i][size / 2] == 0);
            mark(l, i, size);
        }
    }
}

// Grows and shrinks each; one that cannot be stays as it is.
static void
resize(life *l, size_t up, size_t down)
{
    for (unsigned i = 0; i < 2 * KINDS; i++) {
        const core_domain *d = &core_domains[PIM_MEM + i % 2];
        if (l->blocks[i] == NULL) {
            continue;
        }
        size_t size = l->lengths[i] * up / down + 1;
        void *moved = d->realloc(NULL, l->blocks[i], size);
        l->refused += moved == NULL;
        if (moved == NULL) {
            check(l, i);
            continue;
        }
        l->blocks[i] = moved;
        EXPECT(l->lengths[i] < 2 || l->blocks[i][0] == i);
        mark(l, i, size);
    }
}

static void
free_some(life *l, unsigned from, unsigned step)
{
    for (unsigned i = from; i < 2 * KINDS; i += step) {
        check(l, i);
        core_domains[PIM_MEM + i % 2].free(NULL, l->blocks[i]);
        l->blocks[i] = NULL;
    }
}

// Raw requests, too, may be refused.
static void
use_raw(life *l)
{
    void *p = pim_raw_malloc(NULL, 1000);
    void *q = pim_raw_calloc(NULL, 10, 100);
    l->refused += (p == NULL) + (q == NULL);
    for (size_t size = 1; size < 10000; size += size / 8 + 1) {
        void *several[5];
        for (unsigned i = 0; i < PIM_ARRAY_LEN(several); i++) {
            several[i] = pim_raw_malloc(NULL, size);
            l->refused += several[i] == NULL;
        }
        for (unsigned i = 0; i < PIM_ARRAY_LEN(several); i++) {
            pim_raw_free(NULL, several[i]);
        }
    }
    void *moved = pim_raw_realloc(NULL, p, 100000);
    l->refused += moved == NULL;
    pim_raw_free(NULL, moved != NULL ? moved : p);
    pim_raw_free(NULL, q);
}

// Blocks may end up with the process heap if the birth failed.
static void
be_born(life *l)
{
    heal();
    fake_interp_begin(&l->interp, core_next_id());
}

static void
live(life *l)
{
    fake_interp_attach(&l->interp);
    allocate(l);
    resize(l, 3, 2);
    resize(l, 3, 2);
    free_some(l, 1, 3);
    resize(l, 1, 4);
    use_raw(l);
    pim_heap *heap = fake_current_heap();
    if (!pim_heap_is_process(heap)) {
        IN_GATE(pim_heap_purge(heap, true));
        pim_heap_audit(heap);
    }
    fake_interp_detach(&l->interp);
}

static void
die(life *l)
{
    free_some(l, 0, 3);
    fake_interp_end(&l->interp);
    free_some(l, 0, 1); // late
    pim_gate_enter();
    pim_extent_trim(true);
    pim_region_trim();
    pim_gate_exit();
}

// --- a trial ------------------------------------------------------------------------

static void
plan_failure(void)
{
    if (now->os_kinds != 0) {
        fake_os_fail(now->os_kinds, now->nth, now->and_rest);
    } else {
        fake_mi_fail(now->nth, now->and_rest);
    }
}

static void
count_failed(void)
{
    now->failed += now->os_kinds != 0 ? pim_load_relaxed(&fake.failed)
                                      : pim_load_relaxed(&fake_mi.failed);
}

static void
expect_nothing_left(void)
{
    pim_figures f = fake_figures(PIM_PROCESS_ID);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        EXPECT_EQ(f.by_domain[d].live_blocks, 0);
        EXPECT_EQ(f.by_domain[d].live_bytes, 0);
    }
    EXPECT_LE(f.pages, 2 * PIM_CLASSES); // its own, if a birth failed
    pim_usage raw;
    pim_raw_figures(&raw);
    EXPECT_EQ(raw.live_blocks, 0);
    EXPECT_EQ(raw.live_bytes, 0);
    EXPECT_EQ(fake_mi_live_blocks(), 0);
    pim_heap_audit(&pim_process_heap);
    pim_raw_small_audit();
}

// Records, bindings and threads.
#define POOLS_MAX ((uint64_t)256 << 10)

static void
run_trial(void *arg)
{
    life failing = {.refused = 0};
    life healthy = {.refused = 0};
    (void)arg;
    core_start_with_region(REGION);
    be_born(&failing);
    plan_failure();
    live(&failing);
    count_failed();
    heal();
    plan_failure();
    die(&failing);
    count_failed();
    heal();
    // Addresses that the system does not take back stay, without memory.
    uint64_t kept = now->os_kinds == FAKE_UNMAP
                        ? pim_load_relaxed(&fake.mapped_bytes)
                        : POOLS_MAX;
    expect_nothing_left();
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes), kept);

    be_born(&healthy);
    live(&healthy);
    EXPECT_EQ(healthy.refused, 0);
    die(&healthy);
    expect_nothing_left();
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes), kept);
    if (now->failed == 0) {
        EXPECT_EQ(failing.refused, 0);
    }
}

// Fails the first, the second ... call until a trial has no such call.
static void
fail_each(unsigned os_kinds, bool and_rest)
{
    char text[1024];
    uint64_t nth = 0;
    do {
        *now =
            (trial){.os_kinds = os_kinds, .nth = ++nth, .and_rest = and_rest};
        int status = core_in_child(run_trial, NULL, text, sizeof(text));
        if (status != 0) {
            fprintf(stderr, "call %d of kinds 0x%x: %s\n", (int)nth, os_kinds,
                    text);
        }
        EXPECT_EQ(status, 0);
        EXPECT_LT(nth, TRIALS_MAX);
    } while (now->failed != 0);
    EXPECT_GT(nth, 1);
    print_message("%d calls failed in turn\n", (int)nth - 1);
}

TEST_OF(each_failing_map_of_an_arena_is_survived, fail_each(FAKE_PLACE, false))
TEST_OF(each_failing_unmap_is_survived, fail_each(FAKE_UNMAP, false))
TEST_OF(each_failing_reset_is_survived, fail_each(FAKE_RESET, false))
TEST_OF(each_failing_map_is_survived, fail_each(FAKE_MAP, false))
TEST_OF(each_failing_remap_is_survived, fail_each(FAKE_REMAP, false))
TEST_OF(each_failing_call_of_the_system_is_survived, fail_each(FAKE_ANY, false))
TEST_OF(system_that_fails_from_some_call_on_is_survived,
        fail_each(FAKE_ANY, true))
TEST_OF(each_failing_call_of_mimalloc_is_survived, fail_each(0, false))
TEST_OF(mimalloc_that_fails_from_some_call_on_is_survived, fail_each(0, true))

// --- set-up -------------------------------------------------------------------------

static void
fail_region_init(void *arg)
{
    (void)arg;
    fake_os_start();
    fake_os_fail(FAKE_ANY, now->nth, now->and_rest);
    int err = pim_region_init(REGION);
    now->failed = pim_load_relaxed(&fake.failed);
    fake_os_heal();
    if (err != 0) {
        EXPECT_NULL(pim_region.base);
        EXPECT_EQ(pim_load_relaxed(&pim_region.size), 0);
        EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), 0);
        EXPECT_EQ(pim_region_init(REGION), 0); // can be tried again
    }
    EXPECT_EQ(pim_load_relaxed(&pim_region.size), PIM_ARENA_SIZE);
    pim_region_fini();
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), 0);
}

TEST(each_failing_map_of_the_region_is_undone)
{
    char text[1024];
    for (unsigned and_rest = 0; and_rest < 2; and_rest++) {
        uint64_t nth = 0;
        do {
            *now = (trial){.nth = ++nth, .and_rest = and_rest != 0};
            int status =
                core_in_child(fail_region_init, NULL, text, sizeof(text));
            if (status != 0) {
                fprintf(stderr, "call %d: %s\n", (int)nth, text);
            }
            EXPECT_EQ(status, 0);
        } while (now->failed != 0);
        EXPECT_GE(nth, 4);
    }
}

static int
set_up(void **state)
{
    (void)state;
    now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return now == MAP_FAILED;
}

SUITE(.set_up = set_up)
