// test_cancel.c -- a thread that was asked to end (pthread_cancel) does not end in the
// allocator, although what that calls may be a cancellation point.

#define _GNU_SOURCE

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "abandoned/poison.h"
#include "domain/domain.h"
#include "interp/retire.h"
#include "mi/mi.h"
#include "platform/os.h"
#include "platform/say.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/team.h"
#include "support/tsan.h"

static fake_interp interp;
static pim_mi_ops real_mi;
static unsigned waits;

// As mimalloc may, for another thread.
static void
wait_a_little(void)
{
    waits++;
    usleep(1); // a cancellation point
}

static void *
umalloc(size_t size, size_t *block_size)
{
    wait_a_little();
    return real_mi.umalloc(size, block_size);
}

static void *
ucalloc(size_t count, size_t size, size_t *block_size)
{
    wait_a_little();
    return real_mi.ucalloc(count, size, block_size);
}

static void *
urealloc(void *block, size_t size, size_t *before, size_t *after)
{
    wait_a_little();
    return real_mi.urealloc(block, size, before, after);
}

static void
ufree(void *block, size_t *block_size)
{
    wait_a_little();
    real_mi.ufree(block, block_size);
}

static void
set_mi(void)
{
    real_mi = pim_mi;
    pim_mi.umalloc = umalloc;
    pim_mi.ucalloc = ucalloc;
    pim_mi.urealloc = urealloc;
    pim_mi.ufree = ufree;
}

// --- threads that are to be cancelled ----------------------------------------------

static void
ask_to_cancel(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self()); // pending from here on
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

static void
expect_goes_on(void *(*work)(void *))
{
    void *result = NULL;
    pthread_t thread = team_start(work, &interp);
    EXPECT_EQ(pthread_join(thread, &result), 0);
    EXPECT_PTR_EQ(result, &interp);
}

static void
use_domains(void)
{
    for (size_t n = 1; n < (size_t)5 << 20; n = 2 * n + 1) {
        for (unsigned d = 0; d < PIM_DOMAINS; d++) {
            const core_domain *domain = &core_domains[d];
            void *p = domain->malloc(NULL, n);
            p = domain->realloc(NULL, p, 2 * n);
            EXPECT_NOT_NULL(p);
            domain->free(NULL, p);
            domain->free(NULL, domain->calloc(NULL, 1, n));
        }
    }
}

static void *
use_as_cancelled(void *arg)
{
    ask_to_cancel();
    use_domains();
    fake_interp_swap(&interp);
    use_domains();
    fake_interp_swap(NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return arg;
}

static void
use_in_thread(void)
{
    fake_interp_begin(&interp, core_next_id());
    set_mi();
    waits = 0;
    expect_goes_on(use_as_cancelled);
    EXPECT(waits != 0 || pim_raw_get_source() == PIM_RAW_LIBC);
    pim_mi = real_mi;
    fake_interp_end(&interp);
}

TEST(no_request_is_a_cancellation_point)
{
    static const pim_raw_source sources[] = {PIM_RAW_OWN, PIM_RAW_LIBC,
                                             PIM_RAW_MIMALLOC};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sources); i++) {
        pim_raw_set_source(sources[i], (pim_raw_table){0});
        use_in_thread();
    }
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
}

static void *
ask_for_room(void *arg)
{
    ask_to_cancel();
    EXPECT(pim_os_linux.has_room(1 << 20)); // reads a file
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return arg;
}

TEST(looking_at_a_limit_is_no_cancellation_point)
{
#if PIM_TSAN || defined(__SANITIZE_ADDRESS__)
    skip(); // it has TiBs
#endif
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit now = before;
    now.rlim_cur = (rlim_t)64 << 30;
    EXPECT_EQ(setrlimit(RLIMIT_AS, &now), 0);
    expect_goes_on(ask_for_room);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
}

// --- the end of an interpreter --------------------------------------------------------

static bool told;

static void *
look(pim_heap *heap)
{
    wait_a_little();
    return heap;
}

static void
tell(void *seen)
{
    EXPECT_NOT_NULL(seen);
    wait_a_little();
    told = true;
}

static const pim_end_watch watch = {look, tell};

static void *
end_as_cancelled(void *arg)
{
    ask_to_cancel();
    fake_interp_end(&interp);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return arg;
}

TEST(no_end_of_an_interpreter_is_a_cancellation_point)
{
    for (int policy = PIM_KEEP; policy <= PIM_RELEASE; policy++) {
        told = false;
        pim_store_relaxed(&pim_policy_of_new, policy);
        fake_interp_begin(&interp, core_next_id());
        fake_interp_swap(&interp);
        EXPECT_NOT_NULL(pim_mem_malloc(NULL, 100)); // left
        fake_interp_swap(NULL);
        int64_t id = interp.state->id;
        pim_store_release(&pim_end_watcher, &watch);
        set_mi();
        expect_goes_on(end_as_cancelled);
        pim_mi = real_mi;
        pim_store_release(&pim_end_watcher, NULL);
        EXPECT(told);
        EXPECT(fake_figures(id).ended);
    }
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
}

// --- messages -----------------------------------------------------------------------------

static void *
say_as_cancelled(void *arg)
{
    ask_to_cancel();
    pim_say("said although it is to end\n");
    pim_say_at_once("and once more\n");
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return arg;
}

static void
say(void *arg)
{
    (void)arg;
    expect_goes_on(say_as_cancelled);
}

static void *
die_as_cancelled(void *arg)
{
    ask_to_cancel();
    pim_fatal("found in a thread that is to end", NULL);
    return arg;
}

static void
die(void *arg)
{
    (void)arg;
    expect_goes_on(die_as_cancelled);
}

TEST(messages_are_no_cancellation_points)
{
    char text[200];
    EXPECT_EQ(core_in_child(say, NULL, text, sizeof(text)), 0);
    EXPECT_EQ(strcmp(text, "said although it is to end\nand once more\n"), 0);
    core_expect_fatal(die, NULL, "found in a thread that is to end");
}

SUITE(.set_up = core_set_up)
