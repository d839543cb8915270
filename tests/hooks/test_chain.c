// test_chain.c -- each request is seen once, by the hooks of its interpreter and
// in their order, and the chain may be changed at any time.

#include <errno.h>
#include <string.h>

#include "hooks/watcher.h"
#include "heap/large.h"
#include "interp/current.h"
#include "support/core.h"
#include "support/raw_world.h"
#include "support/team.h"

static fake_interp *const a = &raw_world.a;
static fake_interp *const b = &raw_world.b;
static watcher all, mine;

// Tiny, of the classes above, a span, from mimalloc, a map.
static const size_t sizes[] = {
    0, 1, 100, 512, 2000, 30000, 100000, 1500000, (size_t)4 << 20};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static int
begin(void **state)
{
    pim_chain_start();
    return raw_world_begin(state);
}

// --- what is seen ------------------------------------------------------------

static void
expect_each_is_seen(const core_domain *d, int64_t interp)
{
    watcher_begin(&all, PIMALLOC_EACH);
    for (unsigned i = 0; i < SIZES; i++) {
        unsigned before = all.allocs;
        void *p = d->malloc(NULL, sizes[i]);
        EXPECT_EQ(all.allocs, before + 1);
        EXPECT_EQ(all.interp, interp);
        EXPECT(watcher_has(&all, p));
        d->free(NULL, p);
        EXPECT(!watcher_has(&all, p));
        p = d->calloc(NULL, 1, sizes[i]);
        EXPECT_EQ(all.allocs, before + 2);
        EXPECT_EQ(all.zeroed, i + 1);
        d->free(NULL, p);
        p = d->realloc(NULL, NULL, sizes[i]);
        EXPECT_EQ(all.allocs, before + 3);
        d->free(NULL, p);
        d->free(NULL, NULL);
        EXPECT_EQ(all.frees, before + 3);
    }
    EXPECT_EQ(all.live, 0);
    EXPECT_EQ(all.unknown, 0);
    watcher_end(&all);
}

TEST(requests_of_each_domain_and_size_are_seen_once)
{
    for (unsigned d = 0; d < 3; d++) {
        expect_each_is_seen(&core_domains[d], a->state->id);
        EXPECT_EQ(all.domains[d], 1);
        EXPECT_EQ(all.domains[0] + all.domains[1] + all.domains[2], 1);
    }
}

TEST(so_are_those_without_a_thread_state)
{
    fake_interp_swap(NULL);
    for (unsigned d = 0; d < 3; d++) {
        expect_each_is_seen(&core_domains[d], PIM_PROCESS_ID);
    }
}

TEST(so_are_those_of_threads_that_ask_for_their_state)
{
    fake_python_hide_word(true);
    for (unsigned d = 0; d < 3; d++) {
        expect_each_is_seen(&core_domains[d], a->state->id);
    }
    fake_python_hide_word(false);
}

// In place, grown and shrunk; copied; spans; maps that move.
TEST(all_ways_of_realloc_are_seen_once)
{
    for (unsigned d = 0; d < 3; d++) {
        watcher_begin(&all, PIMALLOC_EACH);
        for (unsigned i = 0; i < SIZES; i++) {
            for (unsigned j = 0; j < SIZES; j++) {
                void *p = core_domains[d].malloc(NULL, sizes[i]);
                unsigned before = all.resizes;
                unsigned allocs = all.allocs;
                void *q = core_domains[d].realloc(NULL, p, sizes[j]);
                EXPECT_EQ(all.resizes, before + 1);
                EXPECT_EQ(all.allocs, allocs);
                EXPECT(watcher_has(&all, q));
                EXPECT_EQ(all.live, 1);
                core_domains[d].free(NULL, q);
            }
        }
        EXPECT_EQ(all.live, 0);
        EXPECT_EQ(all.unknown, 0);
        watcher_end(&all);
    }
}

TEST(the_fast_paths_go_on_when_the_last_hook_is_gone)
{
    watcher_begin(&all, PIMALLOC_EACH);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 40));
    EXPECT(pim_current_fast() == NULL);
    watcher_end(&all);
    unsigned seen = all.allocs;
    pim_obj_free(NULL, pim_obj_malloc(NULL, 40));
    EXPECT(pim_current_fast() != NULL);
    pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    fake_interp_swap(NULL);
    uint64_t looks = fake_look_calls();
    for (unsigned i = 0; i < 100; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    }
    EXPECT_LE(fake_look_calls(), looks + 1);
    EXPECT_EQ(all.allocs, seen);
}

// A raw request in between once brought the fast path back (CURRENT-3).
TEST(no_request_brings_the_fast_path_back)
{
    watcher_begin(&all, PIMALLOC_EACH);
    for (unsigned i = 0; i < 100; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
        pim_obj_free(NULL, pim_obj_malloc(NULL, 40));
        fake_interp_swap(NULL);
        pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
        fake_interp_swap(i % 2 != 0 ? a : b);
    }
    EXPECT_EQ(all.allocs, 300);
    EXPECT_EQ(all.frees, 300);
    watcher_end(&all);
}

// --- whose -------------------------------------------------------------------

TEST(a_hook_of_one_interpreter_sees_that_one_only)
{
    watcher_begin(&mine, a->state->id);
    void *ours = pim_obj_malloc(NULL, 64);
    void *raw = pim_raw_malloc(NULL, 64);
    EXPECT_EQ(mine.allocs, 2);
    fake_interp_swap(b);
    void *theirs = pim_obj_malloc(NULL, 64);
    EXPECT(pim_current_fast() != NULL); // they lose nothing
    EXPECT_EQ(mine.allocs, 2);
    pim_obj_free(NULL, ours); // by another
    EXPECT_EQ(mine.frees, 1);
    fake_interp_swap(NULL);
    pim_raw_free(NULL, raw); // by nobody
    EXPECT_EQ(mine.frees, 2);
    pim_raw_free(NULL, pim_raw_malloc(NULL, 64));
    EXPECT_EQ(mine.allocs, 2);
    fake_interp_swap(a);
    pim_obj_free(NULL, theirs);
    EXPECT_EQ(mine.frees, 2);
    EXPECT_EQ(mine.live, 0);
    EXPECT_EQ(mine.unknown, 0);
    watcher_end(&mine);
}

TEST(a_hook_of_the_process_sees_what_no_interpreter_asks_for)
{
    watcher_begin(&mine, PIMALLOC_PROCESS);
    pim_raw_free(NULL, pim_raw_malloc(NULL, 64));
    EXPECT_EQ(mine.allocs, 0);
    fake_interp_swap(NULL);
    void *p = pim_raw_malloc(NULL, 64);
    void *large = pim_raw_malloc(NULL, 100000);
    fake_interp_swap(a);
    EXPECT_EQ(mine.allocs, 2);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, large);
    EXPECT_EQ(mine.frees, 2);
    EXPECT_EQ(mine.unknown, 0);
    watcher_end(&mine);
}

TEST(births_and_ends_are_told)
{
    fake_interp fresh;
    watcher_begin(&all, PIMALLOC_EACH);
    fake_interp_swap(NULL);
    fake_interp_begin(&fresh, core_next_id());
    watcher_begin(&mine, fresh.state->id); // before it is known
    fake_interp_swap(&fresh);
    int64_t id = fresh.state->id;
    pim_obj_free(NULL, pim_obj_malloc(NULL, 64));
    EXPECT_EQ(all.born, 1);
    EXPECT_EQ(mine.born, 1);
    EXPECT_EQ(mine.allocs, 1);
    fake_interp_swap(NULL);
    fake_interp_end(&fresh);
    EXPECT_EQ(all.ended, 1);
    EXPECT_EQ(mine.ended, 1);
    EXPECT_EQ(mine.interp, id);
    watcher_end(&mine);
    watcher_end(&all);
}

// --- order -------------------------------------------------------------------

static char order[8];

static void *
write_name(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    strncat(order, ctx, 1);
    return pimalloc_next_alloc(next, size, zero);
}

static int
push_named(char *name)
{
    pimalloc_hook hook = {
        .size = sizeof(hook), .name = name, .ctx = name, .alloc = write_name};
    return pimalloc_hook_push(&hook, PIMALLOC_EACH);
}

static void
expect_order(const char *expected)
{
    order[0] = '\0';
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    EXPECT_EQ(strcmp(order, expected), 0);
}

TEST(the_newest_is_asked_first_and_any_may_go)
{
    static char names[] = "abc";
    int handles[3];
    for (unsigned i = 0; i < 3; i++) {
        handles[i] = push_named(names + i);
        EXPECT(handles[i] > 0);
    }
    expect_order("cba");
    EXPECT_EQ(pimalloc_hook_toggle(handles[1], 0), 0);
    expect_order("ca");
    EXPECT_EQ(pimalloc_hook_toggle(handles[1], 1), 0);
    expect_order("cba");
    EXPECT_EQ(pimalloc_hook_pop(handles[2]), 0);
    expect_order("ba");
    EXPECT_EQ(pimalloc_hook_pop(handles[0]), 0);
    expect_order("b");
    EXPECT_EQ(pimalloc_hook_pop(handles[1]), 0);
    expect_order("");
    EXPECT_EQ(pimalloc_hook_pop(handles[1]), -ENOENT);
    EXPECT_EQ(pimalloc_hook_toggle(handles[1], 1), -ENOENT);
}

// --- what a hook may do ------------------------------------------------------

static void *
refuse(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    (void)ctx, (void)next, (void)size, (void)zero;
    return NULL;
}

static void *
refuse_to_resize(void *ctx, const pimalloc_next *next, void *block, size_t size)
{
    (void)ctx, (void)next, (void)block, (void)size;
    return NULL;
}

TEST(a_refusal_is_answered_as_one_of_the_allocator)
{
    void *blocks[3];
    for (unsigned d = 0; d < 3; d++) {
        blocks[d] = core_domains[d].malloc(NULL, 50);
        memset(blocks[d], 0x5a, 50);
    }
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "refuse",
                          .alloc = refuse,
                          .resize = refuse_to_resize};
    int handle = pimalloc_hook_push(&hook, PIMALLOC_EACH);
    for (unsigned d = 0; d < 3; d++) { // the domains' functions check errno
        EXPECT(core_domains[d].malloc(NULL, 50) == NULL);
        EXPECT(core_domains[d].calloc(NULL, 5, 10) == NULL);
        EXPECT(core_domains[d].realloc(NULL, blocks[d], 5000) == NULL);
        EXPECT_EQ(((char *)blocks[d])[49], 0x5a);
        core_domains[d].free(NULL, blocks[d]);
    }
    EXPECT_EQ(pimalloc_hook_pop(handle), 0);
}

static int results[3];

static void *
ask_again(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    static int depth;
    EXPECT_EQ(depth++, 0); // CHAIN-3
    pim_mem_free(NULL, pim_mem_malloc(NULL, 24));
    void *p = pim_mem_malloc(NULL, 24);
    p = pim_mem_realloc(NULL, p, 3000);
    pim_mem_free(NULL, p);
    results[0] = pimalloc_hook_pop(*(int *)ctx);
    results[1] = pimalloc_hook_toggle(*(int *)ctx, 0);
    results[2] = push_named("x");
    depth--;
    return pimalloc_next_alloc(next, size, zero);
}

TEST(inside_a_hook_requests_are_served_and_changes_are_refused)
{
    int handle;
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "ask",
                          .ctx = &handle,
                          .alloc = ask_again};
    handle = pimalloc_hook_push(&hook, PIMALLOC_EACH);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(results[i], -EDEADLK);
    }
    EXPECT_EQ(pimalloc_hook_pop(handle), 0);
}

TEST(bad_arguments_and_too_many_hooks_are_refused)
{
    pimalloc_hook hook = {.size = sizeof(hook), .name = "n"};
    EXPECT_EQ(pimalloc_hook_push(NULL, PIMALLOC_EACH), -EINVAL);
    EXPECT_EQ(pimalloc_hook_push(&hook, -3), -EINVAL);
    hook.name = NULL;
    EXPECT_EQ(pimalloc_hook_push(&hook, PIMALLOC_EACH), -EINVAL);
    hook.name = "n";
    hook.size--;
    EXPECT_EQ(pimalloc_hook_push(&hook, PIMALLOC_EACH), -EINVAL);
    hook.size++;
    int handles[PIMALLOC_HOOKS_MAX];
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        handles[i] = pimalloc_hook_push(&hook, PIMALLOC_EACH);
        EXPECT(handles[i] > 0);
    }
    EXPECT_EQ(pimalloc_hook_push(&hook, PIMALLOC_EACH), -ENOSPC);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 8)); // all functions are NULL
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        EXPECT_EQ(pimalloc_hook_pop(handles[i]), 0);
    }
}

// --- forks -------------------------------------------------------------------

static void
check_child(void *arg)
{
    (void)arg;
    EXPECT_EQ(all.forked, 1);
    unsigned before = all.allocs;
    pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
    EXPECT_EQ(all.allocs, before + 1);
    EXPECT_EQ(pimalloc_hook_pop(all.handle), 0);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
    EXPECT_EQ(all.allocs, before + 1);
}

TEST(a_child_is_told_and_goes_on)
{
    char text[200];
    watcher_begin(&all, PIMALLOC_EACH);
    EXPECT_EQ(core_in_child(check_child, NULL, text, sizeof(text)), 0);
    EXPECT_EQ(all.forked, 0);
    watcher_end(&all);
}

static _Atomic bool is_in, may_go;

static void *
stay(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    (void)ctx;
    if (size == 77) {
        pim_store_release(&is_in, true);
        wait_for(&may_go);
    }
    return pimalloc_next_alloc(next, size, zero);
}

static void *
come(void *arg)
{
    pim_raw_free(NULL, pim_raw_malloc(NULL, 77));
    return arg;
}

static void
pop_in_child(void *arg)
{
    EXPECT_EQ(pimalloc_hook_pop(*(int *)arg), 0); // whom to wait for is gone
}

TEST(a_pop_waits_for_who_is_in_but_not_for_ever)
{
    char text[200];
    pimalloc_hook hook = {.size = sizeof(hook), .name = "stay", .alloc = stay};
    int handle = pimalloc_hook_push(&hook, PIMALLOC_EACH);
    static char name[] = "o";
    int other = push_named(name);
    EXPECT(other > 0);
    pthread_t thread = team_start(come, NULL);
    wait_for(&is_in);
    EXPECT_EQ(core_in_child(pop_in_child, &handle, text, sizeof(text)), 0);
    EXPECT_EQ(pimalloc_hook_pop(handle), -ETIMEDOUT); // it is out
    EXPECT_EQ(pimalloc_hook_push(&hook, PIMALLOC_EACH), -EBUSY);
    EXPECT_EQ(pimalloc_hook_pop(other), -EBUSY); // it is not
    expect_order("o");
    pim_store_release(&may_go, true);
    team_end(thread);
    EXPECT_EQ(pimalloc_hook_pop(handle), -ENOENT);
    EXPECT_EQ(pimalloc_hook_pop(other), 0);
    watcher_begin(&all, PIMALLOC_EACH); // all is well again
    watcher_end(&all);
}

// The older hook is popped by the newer one, and is not told any more.
static void
pop_other(void *ctx)
{
    EXPECT_EQ(pimalloc_hook_pop(((watcher *)ctx)->handle), 0);
}

static void
expect_not_told(void *arg)
{
    (void)arg;
    EXPECT_EQ(mine.forked, 0);
    EXPECT_EQ(pimalloc_hook_pop(mine.handle), -ENOENT);
}

TEST(in_a_child_who_was_popped_is_not_told)
{
    char text[200];
    watcher_begin(&mine, PIMALLOC_EACH);
    pimalloc_hook hook = {
        .size = sizeof(hook), .name = "pop", .ctx = &mine, .forked = pop_other};
    int handle = pimalloc_hook_push(&hook, PIMALLOC_EACH);
    EXPECT_EQ(core_in_child(expect_not_told, NULL, text, sizeof(text)), 0);
    EXPECT_EQ(pimalloc_hook_pop(handle), 0);
    watcher_end(&mine);
}

TEST(ids_are_of_one_runtime)
{
    watcher_begin(&mine, a->state->id);
    watcher_begin(&all, PIMALLOC_EACH);
    pim_chain_new_runtime();
    pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
    EXPECT_EQ(mine.allocs, 0);
    EXPECT_EQ(all.allocs, 1);
    watcher_end(&all);
    watcher_end(&mine);
}

static _Atomic bool keeps_on = true;

static void *
come_and_go(void *arg)
{
    static char name[] = "c";
    while (pim_load_relaxed(&keeps_on)) {
        pimalloc_hook_pop(push_named(name));
    }
    return arg;
}

// GATE-5: the child has each hook once, or not.
static void
pop_each_once(void *arg)
{
    int last = *(const int *)arg;
    for (int handle = last; handle < last + 200; handle++) {
        if (pimalloc_hook_pop(handle) == 0) {
            EXPECT_EQ(pimalloc_hook_pop(handle), -ENOENT);
        }
    }
}

TEST(a_child_has_no_change_in_half)
{
    char text[200];
    static char name[] = "l";
    pthread_t thread = team_start(come_and_go, NULL);
    for (unsigned i = 0; i < TEAM_ROUNDS(60); i++) {
        int last = push_named(name);
        EXPECT(last > 0);
        EXPECT_EQ(core_in_child(pop_each_once, &last, text, sizeof(text)), 0);
        EXPECT_EQ(pimalloc_hook_pop(last), 0);
    }
    pim_store_relaxed(&keeps_on, false);
    team_end(thread);
}

SUITE(.set_up = core_set_up_with_clock, .begin = begin, .end = raw_world_end)
