// test_raw.c -- the raw domain's small blocks: the heap that all threads share
// and what each thread keeps of it.

#define _GNU_SOURCE

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account/ledger.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "interp/figures.h"
#include "interp/find_owner.h"
#include "mi/mi.h"
#include "support/core.h"
#include "support/expect.h"
#include "support/fake_interp.h"
#include "support/fake_os.h"
#include "support/patience.h"
#include "support/random.h"
#include "support/team.h"

static const pim_raw_table nobody;

static pim_usage
raw_now(void)
{
    pim_usage now;
    pim_raw_figures(&now);
    return now;
}

// Blocks out of the raw heap: live, in caches, or caches themselves.
static uint64_t
taken(void)
{
    pim_ledger ledger = pim_heap_ledger(&pim_raw_heap);
    return pim_ledger_usage(&ledger, PIM_DOMAIN_INDEX(PIM_RAW)).live_blocks;
}

static bool
is_small(const void *block)
{
    return pim_region_contains(block) && pim_raw_small_owns(pim_page_of(block));
}

// The blocks that the caller keeps of the class of `size`.
static size_t
kept_of(size_t size)
{
    size_t n = 0;
    const pim_raw_block *b = pim_raw_mine.cache->bin[pim_size_class(size)];
    for (; b->next != NULL; b = b->next) {
        n++;
    }
    return n;
}

static void
in_thread(void *(*work)(void *), void *arg)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, work, arg), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

// --- where blocks come from ------------------------------------------------

TEST(small_sizes_come_from_the_raw_heap_and_larger_ones_do_not)
{
    pim_usage before = raw_now();
    for (size_t size = 0; size <= PIM_RAW_SMALL_MAX + 100; size++) {
        unsigned char *p = size % 3 == 0 ? pim_raw_calloc(NULL, 1, size)
                                         : pim_raw_malloc(NULL, size);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
        EXPECT_EQ(is_small(p), size <= PIM_RAW_SMALL_MAX);
        EXPECT(size % 3 != 0 || size == 0 || (p[0] == 0 && p[size - 1] == 0));
        memset(p, 0xaa, size);
        EXPECT_EQ(raw_now().live_blocks, before.live_blocks + 1);
        if (is_small(p)) {
            EXPECT_EQ(raw_now().live_bytes,
                      before.live_bytes + core_block_bytes(size + !size));
        }
        pim_raw_free(NULL, p);
        EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    }
    EXPECT_GT(pim_raw_small_audit(), 0);
}

TEST(realloc_moves_between_the_raw_heap_and_mimalloc)
{
    static const size_t sizes[] = {10,   16,   17,     500,   60,  4128,
                                   4129, 3000, 100000, 70000, 200, 1};
    pim_usage before = raw_now();
    char *p = pim_raw_malloc(NULL, 1);
    size_t size = 1;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        memset(p, (int)i, size);
        p = pim_raw_realloc(NULL, p, sizes[i]);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ(p[(size < sizes[i] ? size : sizes[i]) - 1], (char)i);
        EXPECT_EQ(raw_now().live_blocks, before.live_blocks + 1);
        size = sizes[i];
    }
    EXPECT_NULL(pim_raw_realloc(NULL, p, SIZE_MAX));
    pim_raw_free(NULL, p);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
}

// As where CPython's swaps of the table let libc's free meet our blocks.
TEST(with_another_source_no_block_of_ours_is_handed_out)
{
    pim_raw_free(NULL, pim_raw_malloc(NULL, 100));
    EXPECT_GT(kept_of(100), 0);
    pim_raw_set_source(PIM_RAW_MIMALLOC, nobody);
    void *p = pim_raw_malloc(NULL, 100);
    void *q = pim_raw_calloc(NULL, 1, 100);
    EXPECT(!pim_region_contains(p) && pim_mi.contains(p));
    EXPECT(!pim_region_contains(q) && pim_mi.contains(q));
    pim_raw_set_source(PIM_RAW_LIBC, nobody);
    free(pim_raw_malloc(NULL, 100));
    pim_raw_set_source(PIM_RAW_MIMALLOC, nobody);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, pim_raw_realloc(NULL, q, 1000));
    pim_raw_set_source(PIM_RAW_OWN, nobody);
}

static void
use_up_the_stretch(void *arg)
{
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    (void)arg;
    core_start_with_region(PIM_ARENA_SIZE);
    unsigned elsewhere = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_malloc(NULL, 4000);
        EXPECT_NOT_NULL(blocks[i]);
        memset(blocks[i], (int)i, 4000);
        EXPECT(is_small(blocks[i]));
        elsewhere += !pim_region_main_contains(blocks[i]);
    }
    EXPECT_GT(elsewhere, BLOCKS / 2);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_realloc(NULL, blocks[i], 1500);
        EXPECT_EQ(((unsigned char *)blocks[i])[1499], i & 255);
        pim_raw_free(NULL, blocks[i]);
    }
    EXPECT_EQ(raw_now().live_blocks, 0);
    EXPECT_EQ(raw_now().live_bytes, 0);
    EXPECT_EQ(taken(), pim_raw_small_audit() + 1);
}

TEST(beyond_the_main_stretch_blocks_lie_elsewhere)
{
    char text[1024];
    int status = core_in_child(use_up_the_stretch, NULL, text, sizeof(text));
    print_message("%s", text);
    EXPECT_EQ(status, 0);
}

static unsigned asked; // of the raw heap, under its lock

static void
count_asked(const pim_heap *heap)
{
    asked += heap->id == PIM_PROCESS_ID;
}

// Whether its interpreter is still there is asked of a heap that has one.
TEST(the_raw_heap_has_no_interpreter)
{
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    void (*before)(const pim_heap *) = pim_heap_look_again;
    pim_heap_look_again = count_asked;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_malloc(NULL, 512);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        pim_raw_free(NULL, blocks[i]);
    }
    pim_heap_look_again = before;
    EXPECT_EQ(asked, 0);
}

TEST(the_raw_heap_reclaims_no_arena)
{
    enum { LEAKED = 100, BLOCKS = 6000 };
    static void *leaked[LEAKED * 40];
    static void *blocks[BLOCKS];
    fake_interp interp;
    fake_interp_begin(&interp, core_next_id());
    fake_interp_attach(&interp);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(leaked); i++) {
        leaked[i] = pim_obj_malloc(NULL, 1000);
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(leaked); i++) {
        if (i % 40 != 0) {
            pim_obj_free(NULL, leaked[i]);
        }
    }
    fake_interp_detach(&interp);
    fake_interp_end(&interp);
    pim_figures abandoned = fake_figures(PIM_PROCESS_ID);
    EXPECT_GT(abandoned.arenas, 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_malloc(NULL, 1000);
    }
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, abandoned.arenas);
    EXPECT_GT(pim_load_relaxed(&pim_raw_heap.arenas.arenas), 1);
    pim_raw_small_audit();
    for (unsigned i = 0; i < BLOCKS; i++) {
        pim_raw_free(NULL, blocks[i]);
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(leaked); i += 40) {
        pim_obj_free(NULL, leaked[i]);
    }
}

// --- what a thread keeps ---------------------------------------------------

TEST(a_bin_keeps_so_many_blocks_and_bytes_and_no_more)
{
    enum { BLOCKS = 500 };
    static void *blocks[BLOCKS];
    for (size_t size = 16; size <= PIM_RAW_SMALL_MAX; size *= 2) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            blocks[i] = pim_raw_malloc(NULL, size);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            pim_raw_free(NULL, blocks[i]);
        }
        size_t kept = kept_of(size);
        EXPECT_GT(kept, 0);
        EXPECT_LE(kept, 32);
        EXPECT(kept <= 2 || kept * core_block_bytes(size) <= 8192);
    }
    pim_raw_small_audit();
}

TEST(what_is_kept_is_free_in_the_figures)
{
    pim_usage before = raw_now();
    uint64_t unused = taken() - before.live_blocks;
    void *p[10];
    for (unsigned i = 0; i < 10; i++) {
        p[i] = pim_raw_malloc(NULL, 300);
    }
    for (unsigned i = 0; i < 10; i++) {
        pim_raw_free(NULL, p[i]);
    }
    EXPECT_EQ(raw_now().live_blocks, before.live_blocks);
    EXPECT_EQ(raw_now().live_bytes, before.live_bytes);
    EXPECT_GE(taken() - raw_now().live_blocks, unused);
}

TEST(the_last_freed_block_is_the_next)
{
    void *p = pim_raw_malloc(NULL, 40);
    void *q = pim_raw_malloc(NULL, 40);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
    EXPECT_EQ((uintptr_t)pim_raw_malloc(NULL, 40), (uintptr_t)q);
    EXPECT_EQ((uintptr_t)pim_raw_malloc(NULL, 40), (uintptr_t)p);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
}

static void
run_trim(void)
{
    pim_gate_enter();
    pim_raw_small_trim();
    pim_gate_exit();
}

TEST(trim_gives_back_what_the_caller_keeps)
{
    enum { BLOCKS = 3000 };
    static void *blocks[BLOCKS];
    run_trim();
    uint64_t before = taken();
    uint64_t dirty = pim_load_relaxed(&pim_raw_heap.arenas.dirty_units);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_raw_malloc(NULL, 1000);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        pim_raw_free(NULL, blocks[i]);
    }
    EXPECT_GT(taken(), before);
    run_trim();
    EXPECT_EQ(taken(), before);
    EXPECT_LE(pim_load_relaxed(&pim_raw_heap.arenas.dirty_units), dirty + 1);
}

// --- threads ---------------------------------------------------------------

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
    EXPECT_GT(kept_of(100), 0);
    return NULL;
}

TEST(a_thread_that_ends_gives_back_what_it_keeps)
{
    in_thread(allocate_and_free, NULL); // its record gets a cache
    pim_usage before = raw_now();
    uint64_t out = taken();
    for (unsigned i = 0; i < 50; i++) {
        in_thread(allocate_and_free, NULL);
    }
    EXPECT_EQ(taken(), out);
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
    in_thread(free_it, pim_raw_malloc(NULL, 64));
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
    in_thread(leave_for_a_destructor, &key);
    pim_usage before = raw_now();
    uint64_t out = taken();
    for (unsigned i = 0; i < 10; i++) {
        in_thread(leave_for_a_destructor, &key);
    }
    EXPECT_EQ(taken(), out);
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
        EXPECT_EQ(pthread_create(&threads[i], NULL, join_crowd, NULL), 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
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
    for (unsigned i = 0; i < LEFT; i++) {
        blocks[i] = pim_raw_malloc(NULL, 96);
    }
    for (unsigned i = 0; i < LEFT; i++) {
        pim_raw_free(NULL, blocks[i]);
    }
    pim_store_release(&left_behind, pim_raw_mine.cache);
    while (!pim_load_acquire(&may_end)) {
        usleep(100);
    }
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
        pim_add_relaxed(&found, (unsigned)kept_of(96));
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
    int status = -1;
    if (PIM_TSAN) {
        skip(); // it lets no such child start a thread
    }
    EXPECT_EQ(pthread_create(&thread, NULL, keep_blocks, NULL), 0);
    while (pim_load_acquire(&left_behind) == NULL) {
        usleep(100);
    }
    pid_t pid = fork();
    if (pid == 0) {
        be_child();
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    pim_store_release(&may_end, true);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

// --- misuse ----------------------------------------------------------------

static void
free_twice(void *arg)
{
    (void)arg;
    void *p = pim_raw_malloc(NULL, 100);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, p);
}

static void
free_of_mem(void *arg)
{
    (void)arg;
    pim_raw_free(NULL, pim_mem_malloc(NULL, 100));
}

static void
realloc_of_obj(void *arg)
{
    (void)arg;
    pim_raw_realloc(NULL, pim_obj_malloc(NULL, 100), 200);
}

TEST(misuse_of_small_blocks_is_fatal)
{
    core_expect_fatal(free_twice, NULL, "a raw block was freed twice");
    core_expect_fatal(free_of_mem, NULL, "raw free of a block that is not raw");
    core_expect_fatal(realloc_of_obj, NULL,
                      "raw realloc of a block that is not raw");
}

static void
audit(void *arg)
{
    (void)arg;
    pim_raw_small_audit();
}

TEST(a_damaged_bin_is_found_by_the_audit)
{
    pim_raw_free(NULL, pim_raw_malloc(NULL, 100));
    pim_raw_block *block = pim_raw_mine.cache->bin[pim_size_class(100)];
    size_t room = block->room;
    block->room = room + 3;
    core_expect_fatal(audit, NULL, "RAW-2");
    block->room = room;
    pim_raw_small_audit();
}

TEST(an_address_is_known_as_the_processs)
{
    char *p = pim_raw_malloc(NULL, 100);
    char *q = pim_raw_malloc(NULL, 100000);
    int64_t id = 5;
    EXPECT(pim_heap_find_owner(p + 99, &id));
    EXPECT_EQ(id, PIM_PROCESS_ID);
    id = 5;
    EXPECT(pim_heap_find_owner(q, &id));
    EXPECT_EQ(id, PIM_PROCESS_ID);
    pim_raw_free(NULL, p);
    pim_raw_free(NULL, q);
}

int
main(void)
{
    const struct CMUnitTest first[] = {
        // The region is still unused for this.
        CASE(beyond_the_main_stretch_blocks_lie_elsewhere),
    };
    const struct CMUnitTest cases[] = {
        CASE(small_sizes_come_from_the_raw_heap_and_larger_ones_do_not),
        CASE(realloc_moves_between_the_raw_heap_and_mimalloc),
        CASE(with_another_source_no_block_of_ours_is_handed_out),
        CASE(the_raw_heap_has_no_interpreter),
        CASE(the_raw_heap_reclaims_no_arena),
        CASE(a_bin_keeps_so_many_blocks_and_bytes_and_no_more),
        CASE(what_is_kept_is_free_in_the_figures),
        CASE(the_last_freed_block_is_the_next),
        CASE(trim_gives_back_what_the_caller_keeps),
        CASE(a_thread_that_ends_gives_back_what_it_keeps),
        CASE(a_block_freed_by_another_thread_is_that_threads),
        CASE(destructors_of_a_thread_may_allocate_and_nothing_is_kept),
        CASE(threads_without_a_record_use_the_raw_heap_itself),
        CASE(in_a_forked_child_the_caches_of_threads_that_are_gone_go_on),
        CASE(misuse_of_small_blocks_is_fatal),
        CASE(a_damaged_bin_is_found_by_the_audit),
        CASE(an_address_is_known_as_the_processs),
    };
    int failed = RUN(first, NULL, NULL);
    return failed != 0 ? failed : RUN(cases, core_set_up, NULL);
}
