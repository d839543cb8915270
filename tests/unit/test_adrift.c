// test_adrift.c -- a child of a fork that went on although a thread was inside.

#define _GNU_SOURCE

#include <string.h>
#include <unistd.h>

#include "arena/region.h"
#include "domain/check.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/closing.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/patience.h"
#include "support/raw_world.h"
#include "support/team.h"
#include "support/tsan.h"

// Tiny, small, of several units, a span, of mimalloc or a map.
static const size_t sizes[] = {0,     1,     48,     600,
                               12000, 40000, 300000, (size_t)3 << 20};
#define SIZES PIM_ARRAY_LEN(sizes)

static fake_interp interp;
static fake_interp other;
static char *reclaimed[PIM_DOMAINS][SIZES]; // of `interp`
static char *foreign[PIM_DOMAINS][SIZES];   // of `other`
static char *nobodys[SIZES];                // raw, without a thread state

static void
allocate(unsigned domain, char **blocks)
{
    for (unsigned i = 0; i < SIZES; i++) {
        blocks[i] = core_domains[domain].malloc(NULL, sizes[i]);
        EXPECT_NOT_NULL(blocks[i]);
        memset(blocks[i], (int)i + 1, sizes[i]);
    }
}

static void
begin(void *arg)
{
    (void)arg;
    core_start();
    pim_check_start(true);
    fake_interp_begin(&interp, core_next_id());
    fake_interp_begin(&other, core_next_id());
    raw_be_born(&other);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        allocate(d, foreign[d]);
    }
    fake_interp_swap(NULL);
    allocate(PIM_RAW, nobodys);
    raw_be_born(&interp);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        allocate(d, reclaimed[d]);
    }
}

// --- what the child does ------------------------------------------------------------

static void
use(const core_domain *d)
{
    for (unsigned i = 0; i < SIZES; i++) {
        char *p = d->malloc(NULL, sizes[i]);
        char *zeroed = d->calloc(NULL, 1, sizes[i] + 1);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
        EXPECT(!pim_gate_is_adrift() || !pim_region_contains(p));
        EXPECT_EQ(zeroed[0] | zeroed[sizes[i]], 0);
        memset(p, 'x', sizes[i]);
        p = d->realloc(NULL, p, sizes[i] + 5000);
        EXPECT(sizes[i] == 0 || p[sizes[i] - 1] == 'x');
        memset(p, 'y', sizes[i] + 5000);
        p = d->realloc(NULL, p, 10);
        EXPECT_EQ(p[9], 'y');
        d->free(NULL, p);
        d->free(NULL, zeroed);
    }
    d->free(NULL, NULL);
    EXPECT_NULL(d->malloc(NULL, PIM_REQUEST_MAX));
}

static void
give_up(const core_domain *d, char **blocks)
{
    for (unsigned i = 0; i < SIZES; i++) {
        if (i % 2 == 0) {
            blocks[i] = d->realloc(NULL, blocks[i], sizes[i] + 10000);
            EXPECT_NOT_NULL(blocks[i]);
        }
        EXPECT(sizes[i] == 0 || blocks[i][sizes[i] - 1] == (char)(i + 1));
        d->free(NULL, blocks[i]);
    }
}

static void
use_checked(unsigned domain)
{
    void *ctx = pim_check_context(domain);
    char *p = pim_check_calloc(ctx, 10, 10);
    EXPECT_NOT_NULL(p);
    p = pim_check_realloc(ctx, p, 10000);
    EXPECT_EQ(p[99], 0);
    pim_check_free(ctx, p);
    pim_check_free(ctx, pim_check_malloc(ctx, 1));
}

static void *
use_all(void *arg)
{
    (void)arg;
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        use(&core_domains[d]);
        if (pim_gate_is_adrift()) {
            use_checked(d);
        }
    }
    return NULL;
}

static void
live_adrift(void)
{
    alarm(patience());
    EXPECT(pim_gate_is_adrift());
    uint64_t mi_blocks = fake_mi_live_blocks();
    use_all(NULL); // as the interpreter that forked
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        give_up(&core_domains[d], reclaimed[d]);
        give_up(&core_domains[d], foreign[d]);
    }
    give_up(&core_domains[PIM_RAW], nobodys);
    fake_interp_swap(NULL);
    use_all(NULL);
    fake_interp_end(&other); // as others do
    fake_interp next;
    fake_interp_start(&next);
    use_all(NULL);
    fake_interp_stop(&next);
    if (!PIM_TSAN) { // which forbids it in children of several threads
        team_alone(use_all, NULL);
    }
    EXPECT_EQ(pim_registry_ids(NULL, 0), 0);
    EXPECT_EQ(fake_mi_live_blocks(), mi_blocks); // untouched
    pid_t again = fork();
    if (again == 0) {
        EXPECT(pim_gate_is_adrift());
        use_all(NULL);
        _exit(0);
    }
    EXPECT_EQ(child_outcome(again), 0);
}

static void
fork_from_inside(void *arg)
{
    begin(arg);
    pim_gate_enter();
    pid_t child = fork();
    if (child == 0) {
        pim_gate_exit();
        live_adrift();
        _exit(0);
    }
    pim_gate_exit();
    EXPECT_EQ(child_outcome(child), 0);
    EXPECT(!pim_gate_is_adrift());
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        give_up(&core_domains[d], reclaimed[d]);
    }
    use_all(NULL);
}

static void
expect_well(void (*body)(void *), void *arg)
{
    char text[2000];
    int status = core_in_child(body, arg, text, sizeof(text));
    if (status != 0) {
        print_error("%s\n", text);
    }
    EXPECT_EQ(status, 0);
    const char *said = strstr(text, "pimalloc: fork() copied ");
    EXPECT_NOT_NULL(said);
    EXPECT_NULL(strstr(said + 1, "pimalloc: fork() copied ")); // once
}

TEST_OF(child_lives_on_the_processs_malloc, expect_well(fork_from_inside, NULL))

// All locks there are, as the linker has them (platform/lock.h).
extern pim_lock __start_pim_locks[] __attribute__((visibility("hidden")));
extern pim_lock __stop_pim_locks[] __attribute__((visibility("hidden")));

static _Atomic bool has_all;

static void *
hold_all(void *arg)
{
    pim_gate_enter();
    for (pim_lock *l = __start_pim_locks; l < __stop_pim_locks; l++) {
        pim_lock_acquire(l);
    }
    pim_store_release(&has_all, true);
    for (;;) {
        pause();
    }
    return arg;
}

static void
fork_beside_who_holds_all(void *arg)
{
    begin(arg);
    pim_inside_patience_ms = 20;
    team_start(hold_all, NULL);
    wait_for(&has_all);
    pid_t child = fork();
    if (child == 0) {
        live_adrift();
        _exit(0);
    }
    _exit(child_outcome(child) == 0 ? 0 : 1);
}

TEST_OF(child_does_not_wait_for_locks_of_who_is_gone,
        expect_well(fork_beside_who_holds_all, NULL))

SUITE()
