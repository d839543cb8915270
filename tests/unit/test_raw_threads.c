// test_raw_threads.c -- what threads keep of the raw domain's small blocks, as
// they end and in a forked child.

#define _GNU_SOURCE

#include <pthread.h>
#include <unistd.h>

#include "domain/domain.h"
#include "domain/raw_small.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/patience.h"
#include "support/raw_world.h"
#include "support/team.h"

static void *
allocate_and_free(void *arg)
{
    (void)arg;
    for (size_t size = 1; size < 5000; size += 7) {
        void *p = pim_raw_malloc(NULL, size);
        void *q = pim_raw_malloc(NULL, size);
        EXPECT_NOT_NULL(q);
        pim_raw_free(NULL, p);
        pim_raw_free(NULL, q);
    }
    EXPECT_GT(raw_kept(100), 0);
    return NULL;
}

TEST(a_thread_that_ends_gives_back_what_it_keeps)
{
    team_alone(allocate_and_free, NULL); // its record gets a cache
    pim_usage before = raw_now();
    uint64_t out = raw_taken();
    for (unsigned i = 0; i < 50; i++) {
        team_alone(allocate_and_free, NULL);
    }
    EXPECT_EQ(raw_taken(), out);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
}

static void *
free_it(void *block)
{
    pim_raw_free(NULL, block);
    EXPECT_EQ((uintptr_t)pim_raw_malloc(NULL, 64), (uintptr_t)block);
    pim_raw_free(NULL, block);
    return NULL;
}

TEST(a_block_freed_by_another_thread_is_that_threads)
{
    pim_usage before = raw_now();
    team_alone(free_it, pim_raw_malloc(NULL, 64));
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    pim_raw_small_audit();
}

static void
free_late(void *block)
{
    pim_raw_free(NULL, block);
    pim_raw_free(NULL, pim_raw_malloc(NULL, 48));
    EXPECT_NULL(pim_raw_mine.cache); // it said that it ends
}

static void *
leave_for_a_destructor(void *key)
{
    void *block = pim_raw_malloc(NULL, 48);
    EXPECT_NOT_NULL(pim_raw_mine.cache);
    EXPECT_EQ(pthread_setspecific(*(pthread_key_t *)key, block), 0);
    return NULL;
}

TEST(destructors_of_a_thread_may_allocate_and_nothing_is_kept)
{
    pthread_key_t key; // made after the gate's, so destroyed after it
    EXPECT_EQ(pthread_key_create(&key, free_late), 0);
    team_alone(leave_for_a_destructor, &key);
    pim_usage before = raw_now();
    uint64_t out = raw_taken();
    for (unsigned i = 0; i < 10; i++) {
        team_alone(leave_for_a_destructor, &key);
    }
    EXPECT_EQ(raw_taken(), out);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    pthread_key_delete(key);
}

#define CROWD 70 // more than the records there are without a map

static pthread_barrier_t crowd_is_in;
static _Atomic unsigned without_a_record;

static void *
join_crowd(void *arg)
{
    (void)arg;
    char *p = pim_raw_malloc(NULL, 100);
    char *q = pim_raw_calloc(NULL, 1, 5000);
    EXPECT(p != NULL && q != NULL);
    pthread_barrier_wait(&crowd_is_in); // so that all records are taken
    if (pim_gate_self.thread == NULL) {
        EXPECT_NULL(pim_raw_mine.cache);
        pim_add_relaxed(&without_a_record, 1);
    }
    p = pim_raw_realloc(NULL, p, 300);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
    return NULL;
}

TEST(threads_without_a_record_use_the_raw_heap_itself)
{
    pthread_t threads[CROWD];
    pim_usage before = raw_now();
    fake_os_fail(FAKE_MAP, 1, true);
    pthread_barrier_init(&crowd_is_in, NULL, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        threads[i] = team_start(join_crowd, NULL);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        team_end(threads[i]);
    }
    fake_os_heal();
    EXPECT_GT(pim_load_relaxed(&without_a_record), 0);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    pim_raw_small_audit();
}

// --- fork ------------------------------------------------------------------

#define LEFT 10

static _Atomic(pim_raw_cache *) left_behind;
static _Atomic bool may_end;

static void *
keep_blocks(void *arg)
{
    void *blocks[LEFT];
    (void)arg;
    core_fill(PIM_RAW, blocks, LEFT, 96);
    core_free_all(PIM_RAW, blocks, LEFT);
    pim_store_release(&left_behind, pim_raw_mine.cache);
    wait_for(&may_end);
    return NULL;
}

static _Atomic unsigned found;

// Stays until all of the child's threads have a record.
static void *
look_for_what_was_left(void *arg)
{
    (void)arg;
    void *p = pim_raw_malloc(NULL, 2000); // another class
    if (pim_raw_mine.cache == pim_load_relaxed(&left_behind)) {
        pim_add_relaxed(&found, (unsigned)raw_kept(96));
    }
    pim_raw_free(NULL, p);
    EXPECT_NOT_NULL(pim_raw_malloc(NULL, 96));
    pthread_barrier_wait(&crowd_is_in);
    return NULL;
}

static void
be_child(void)
{
    pthread_t threads[TEAM_MAX];
    alarm(patience());
    EXPECT_GE(pim_raw_small_audit(), LEFT);
    pthread_barrier_init(&crowd_is_in, NULL, TEAM_MAX);
    for (unsigned i = 0; i < TEAM_MAX; i++) {
        pthread_create(&threads[i], NULL, look_for_what_was_left, NULL);
    }
    for (unsigned i = 0; i < TEAM_MAX; i++) {
        pthread_join(threads[i], NULL);
    }
    EXPECT_GE(pim_load_relaxed(&found), LEFT);
    pim_raw_small_audit();
    _exit(0);
}

TEST(in_a_forked_child_the_caches_of_threads_that_are_gone_go_on)
{
    pthread_t thread;
    if (PIM_TSAN) {
        skip(); // it lets no such child start a thread
    }
    thread = team_start(keep_blocks, NULL);
    while (pim_load_acquire(&left_behind) == NULL) {
        usleep(100);
    }
    pid_t pid = fork();
    if (pid == 0) {
        be_child();
    }
    EXPECT_EQ(child_outcome(pid), 0);
    pim_store_release(&may_end, true);
    team_end(thread);
}

SUITE(.set_up = core_set_up)
