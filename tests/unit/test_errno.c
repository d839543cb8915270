// test_errno.c -- errno is what it was after every free and every request that is
// served, and ENOMEM after one that is not.
//
// core_domains looks at it at each call, here as in every other test that uses
// them; here are the ways that those do not go.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domain/check.h"
#include "domain/domain.h"
#include "interp/registry.h"
#include "interp/retire.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/hostile.h"
#include "support/team.h"

static const pim_raw_table nobody;

static const size_t sizes[] = {0,    1,     100,    600,     4000,
                               5000, 20000, 100000, 2000000, 9000000};

#define SIZES PIM_ARRAY_LEN(sizes)

// Blocks of all sizes, grown, shrunk and freed.
static void
use(const core_domain *d)
{
    void *blocks[SIZES];
    for (unsigned i = 0; i < SIZES; i++) {
        blocks[i] = i % 2 == 0 ? d->malloc(NULL, sizes[i])
                               : d->calloc(NULL, 1, sizes[i]);
        EXPECT_NOT_NULL(blocks[i]);
    }
    for (unsigned i = 0; i < SIZES; i++) {
        blocks[i] = d->realloc(NULL, blocks[i], 3 * sizes[i] + 1);
        blocks[i] = d->realloc(NULL, blocks[i], sizes[i] / 5);
        d->free(NULL, blocks[i]);
    }
    d->free(NULL, NULL);
}

static void
use_in_all_states(const core_domain *d)
{
    fake_interp interp;
    fake_interp_begin(&interp, core_next_id());
    use(d); // by a thread without a thread state
    fake_interp_swap(&interp);
    use(d); // raw: of an interpreter that is not known yet
    core_domains[PIM_OBJ].free(NULL, core_domains[PIM_OBJ].malloc(NULL, 1));
    use(d);
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
}

TEST(requests_that_are_served_keep_errno)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        use_in_all_states(&core_domains[d]);
    }
}

TEST(raw_keeps_errno_wherever_its_blocks_come_from)
{
    static const pim_raw_source sources[] = {PIM_RAW_LIBC, PIM_RAW_MIMALLOC,
                                             PIM_RAW_OWN};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sources); i++) {
        pim_raw_set_source(sources[i], nobody);
        use_in_all_states(&core_domains[PIM_RAW]);
    }
}

static void *
replaced_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    (void)size;
    errno = HOSTILE_ERRNO;
    return block;
}

static void
replaced_free(void *ctx, void *block)
{
    (void)block;
    *(unsigned *)ctx += 1;
    errno = HOSTILE_ERRNO;
}

TEST(raw_keeps_errno_with_blocks_older_than_we)
{
    const core_domain *raw = &core_domains[PIM_RAW];
    raw->free(NULL, malloc(1000));
    raw->free(NULL, aligned_alloc(4096, 8192)); // begins a page
    raw->free(NULL, raw->realloc(NULL, malloc(1000), 5000));
    raw->free(NULL, raw->realloc(NULL, malloc(1000), 500));

    // One of CPython's debug layer.
    _Alignas(16) unsigned char room[64] = {0};
    memcpy(room + 8, "r\xfd\xfd\xfd\xfd\xfd\xfd\xfd", 8);
    unsigned freed = 0;
    pim_raw_set_source(
        PIM_RAW_OWN, (pim_raw_table){&freed, replaced_realloc, replaced_free});
    EXPECT_PTR_EQ(raw->realloc(NULL, room + 16, 30), room + 16);
    raw->free(NULL, room + 16);
    EXPECT_EQ(freed, 1);
    pim_raw_set_source(PIM_RAW_OWN, nobody);
}

TEST(requests_that_are_refused_say_ENOMEM)
{
    for (unsigned i = 0; i < PIM_DOMAINS; i++) {
        const core_domain *d = &core_domains[i];
        void *p = d->malloc(NULL, 10);
        EXPECT_NULL(d->malloc(NULL, SIZE_MAX));
        EXPECT_NULL(d->malloc(NULL, PIM_REQUEST_MAX));
        EXPECT_NULL(d->calloc(NULL, SIZE_MAX / 2, 3));
        EXPECT_NULL(d->realloc(NULL, p, SIZE_MAX));
        EXPECT_NULL(d->realloc(NULL, p, PIM_REQUEST_MAX));
        d->free(NULL, p);
    }
    char stranger[64] = "";
    EXPECT_NULL(core_domains[PIM_OBJ].realloc(NULL, stranger + 16, 100));
    core_domains[PIM_OBJ].free(NULL, stranger + 16);
}

TEST(block_that_shrinks_where_there_is_no_memory_keeps_errno)
{
    static const size_t large[] = {500, 30000, 200000, 3000000};
    fake_interp interp;
    fake_interp_begin(&interp, core_next_id());
    fake_interp_swap(&interp);
    for (unsigned i = 0; i < PIM_DOMAINS * PIM_ARRAY_LEN(large); i++) {
        const core_domain *d = &core_domains[i % PIM_DOMAINS];
        void *p = d->malloc(NULL, large[i / PIM_DOMAINS]);
        fake_os_fail(FAKE_ANY, 1, true);
        fake_mi_fail(1, true);
        void *shrunk = d->realloc(NULL, p, 100);
        fake_os_heal();
        fake_mi_heal();
        EXPECT_NOT_NULL(shrunk);
        d->free(NULL, shrunk);
    }
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
}

// --- whom we call -----------------------------------------------------------

static void
refused(void *arg, const pimalloc_refusal *refusal)
{
    (void)refusal;
    *(unsigned *)arg += 1;
    errno = HOSTILE_ERRNO;
}

TEST(callback_of_a_limit_may_do_what_it_likes)
{
    fake_interp interp;
    unsigned calls = 0;
    const pim_limit_terms terms = {1 << 20, 1 << 20, refused, &calls};
    fake_interp_begin(&interp, core_next_id());
    fake_interp_swap(&interp);
    pim_heap *heap = fake_current_heap();
    IN_GATE(pim_limit_set(&heap->limit, &terms));
    for (unsigned i = 0; i < PIM_DOMAINS; i++) {
        const core_domain *d = &core_domains[i];
        void *p = d->malloc(NULL, 500000);
        EXPECT_NULL(d->malloc(NULL, 2 << 20));
        EXPECT_NULL(d->realloc(NULL, p, 2 << 20));
        d->free(NULL, p);
    }
    EXPECT_GE(calls, 2 * PIM_DOMAINS);
    fake_interp_swap(NULL);
    fake_interp_end(&interp);
}

static unsigned looked;
static unsigned told;

static void *
look(pim_heap *heap)
{
    looked++;
    errno = HOSTILE_ERRNO;
    return heap;
}

static void
tell(void *seen)
{
    EXPECT_NOT_NULL(seen);
    told++;
    errno = HOSTILE_ERRNO;
}

TEST(free_that_ends_an_interpreter_keeps_errno)
{
    static const pim_end_watch watch = {look, tell};
    fake_interp interp;
    fake_interp_begin(&interp, core_next_id());
    fake_interp_swap(&interp);
    void *left = core_domains[PIM_OBJ].malloc(NULL, 1000);
    fake_interp_swap(NULL);
    pim_store_release(&pim_end_watcher, &watch);
    fake_interp_end(&interp);
    pim_store_release(&pim_end_watcher, NULL);
    EXPECT_EQ(looked, 1);
    EXPECT_EQ(told, 1);
    core_domains[PIM_OBJ].free(NULL, left);
}

// --- threads ----------------------------------------------------------------

// The process heap and the raw heap have a lock each; without a thread state all
// ask for them.
static void
contend(team_member *self)
{
    for (unsigned n = 0; n < TEAM_ROUNDS(300) && !team_stops(self); n++) {
        use(&core_domains[n % PIM_DOMAINS]);
    }
}

TEST(threads_keep_errno_from_their_first_request_on_and_at_locks)
{
    team t = {.count = 0};
    for (unsigned i = 0; i < 4; i++) {
        team_add(&t, contend);
    }
    for (unsigned i = 0; i < TEAM_ROUNDS(60); i++) {
        fake_interp interp;
        fake_interp_begin(&interp, core_next_id());
        fake_interp_swap(&interp);
        core_domains[PIM_MEM].free(NULL,
                                   core_domains[PIM_OBJ].malloc(NULL, 99));
        fake_interp_swap(NULL);
        fake_interp_end(&interp); // waits for the others
    }
    team_join(&t);
}

// --- the checked mode -------------------------------------------------------

static void
use_checked(void *arg)
{
    (void)arg;
    pim_check_start(true);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        for (unsigned i = 0; i < SIZES; i++) {
            void *ctx = pim_check_context(d);
            errno = EDOTDOT;
            void *p = pim_check_malloc(ctx, sizes[i]);
            p = pim_check_realloc(ctx, p, 2 * sizes[i]);
            pim_check_free(ctx, p);
            EXPECT_EQ(errno, EDOTDOT);
        }
    }
}

TEST(checked_requests_keep_errno)
{
    char text[256];
    EXPECT_EQ(core_in_child(use_checked, NULL, text, sizeof(text)), 0);
}

SUITE(.set_up = core_set_up)
