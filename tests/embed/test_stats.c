// test_stats.c -- the figures are exact: they move by what was asked for,
// rounded up to its class, and by nothing else.
//
// Nothing of Python runs between two looks at a heap, so each difference is
// known to the byte.

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

// As in src/base/config.h, which is not for embedders.
#define SPAN_GROWN 4096
#define UNIT 16384

#define SMALL_MAX ((size_t)32 << 10)

typedef struct figures {
    uint64_t bytes;
    uint64_t blocks;
    uint64_t peak_bytes;
    uint64_t peak_blocks;
} figures;

static figures
look(int64_t interp, enum pimalloc_domain domain)
{
    pimalloc_usage u = embed_stats(interp).domain[domain];
    embed_expect_sane(u);
    return (figures){u.live_bytes, u.live_blocks, u.peak_bytes, u.peak_blocks};
}

static void *
dom_malloc(enum pimalloc_domain d, size_t size)
{
    return d == PIMALLOC_MEM ? PyMem_Malloc(size) : PyObject_Malloc(size);
}

static void *
dom_calloc(enum pimalloc_domain d, size_t size)
{
    return d == PIMALLOC_MEM ? PyMem_Calloc(1, size) : PyObject_Calloc(1, size);
}

static void *
dom_realloc(enum pimalloc_domain d, void *p, size_t size)
{
    return d == PIMALLOC_MEM ? PyMem_Realloc(p, size)
                             : PyObject_Realloc(p, size);
}

static void
dom_free(enum pimalloc_domain d, void *p)
{
    d == PIMALLOC_MEM ? PyMem_Free(p) : PyObject_Free(p);
}

// Usable bytes of a small block: classes are 16 bytes apart up to 512; above,
// where they lie is not promised, so one block is measured.
static size_t
usable(size_t size)
{
    if (size <= 512) {
        return size == 0 ? 16 : (size + 15) / 16 * 16;
    }
    int64_t id = embed_interp_id();
    uint64_t before = look(id, PIMALLOC_MEM).bytes;
    void *block = PyMem_Malloc(size);
    size_t bytes = look(id, PIMALLOC_MEM).bytes - before;
    PyMem_Free(block);
    EXPECT_GE(bytes, size);
    EXPECT_LE(bytes, size + size / 4);
    EXPECT_EQ(bytes % 16, 0);
    return bytes;
}

static const size_t sizes[] = {0,    1,    15,   16,    17,    48,   511,
                               512,  513,  640,  641,   1024,  1025, 4096,
                               5000, 8193, 9999, 20000, 32768, 32769};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

// --- blocks of main --------------------------------------------------------

static void
count_one_size(int64_t id, enum pimalloc_domain d, size_t size)
{
    enum { BLOCKS = 300 };
    static void *blocks[BLOCKS];
    size_t bytes = usable(size);
    figures before = look(id, d);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = i % 2 == 0 ? dom_malloc(d, size) : dom_calloc(d, size);
        EXPECT(blocks[i] != NULL);
        EXPECT_EQ((uintptr_t)blocks[i] % 16, 0);
    }
    figures full = look(id, d);
    EXPECT_EQ(full.blocks - before.blocks, BLOCKS);
    EXPECT_EQ(full.bytes - before.bytes, BLOCKS * bytes);
    EXPECT_GE(full.peak_bytes, full.bytes);

    // Past the old peak: then the peak is what is live.
    if (full.bytes > before.peak_bytes) {
        EXPECT_EQ(full.peak_bytes, full.bytes);
    } else {
        EXPECT_EQ(full.peak_bytes, before.peak_bytes);
    }
    if (full.blocks > before.peak_blocks) {
        EXPECT_EQ(full.peak_blocks, full.blocks);
    }
    for (int i = 0; i < BLOCKS; i++) {
        dom_free(d, blocks[i]);
    }
    figures after = look(id, d);
    EXPECT_EQ(after.blocks, before.blocks);
    EXPECT_EQ(after.bytes, before.bytes);
    EXPECT_EQ(after.peak_bytes, full.peak_bytes);
    EXPECT_EQ(after.peak_blocks, full.peak_blocks);
}

static void
count_all_sizes(int64_t id)
{
    for (enum pimalloc_domain d = PIMALLOC_MEM; d <= PIMALLOC_OBJ; d++) {
        enum pimalloc_domain other =
            d == PIMALLOC_MEM ? PIMALLOC_OBJ : PIMALLOC_MEM;
        figures of_other = look(id, other);
        for (size_t i = 0; i < SIZES; i++) {
            count_one_size(id, d, sizes[i]);
        }
        EXPECT_EQ(look(id, other).bytes, of_other.bytes);
        EXPECT_EQ(look(id, other).blocks, of_other.blocks);
        EXPECT_EQ(look(id, other).peak_bytes, of_other.peak_bytes);
    }
}

CASE(small_blocks_are_counted_exactly)
{
    embed_start();
    pimalloc_snapshot process = embed_stats(PIMALLOC_PROCESS);
    count_all_sizes(0);
    pimalloc_snapshot after = embed_stats(PIMALLOC_PROCESS);
    EXPECT_EQ(after.domain[PIMALLOC_MEM].live_bytes,
              process.domain[PIMALLOC_MEM].live_bytes);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    count_all_sizes(embed_interp_id());
    embed_return(&guest);
    embed_stop();
}

CASE(reallocations_are_counted_exactly)
{
    embed_start();
    for (enum pimalloc_domain d = PIMALLOC_MEM; d <= PIMALLOC_OBJ; d++) {
        figures before = look(0, d);
        void *block = dom_realloc(d, NULL, 100);
        uint32_t seed = 1;
        size_t size = 100;
        for (int i = 0; i < 2000; i++) {
            size = embed_random(&seed) % SMALL_MAX;
            block = dom_realloc(d, block, size);
            EXPECT(block != NULL);
            figures now = look(0, d);
            EXPECT_EQ(now.blocks - before.blocks, 1);
            // A block may stay where it is if little would be saved.
            EXPECT_GE(now.bytes - before.bytes, size);
            // One that grew past SPAN_GROWN has units of its own.
            EXPECT_LE(now.bytes - before.bytes,
                      size + size / 2 + (size > SPAN_GROWN / 2 ? UNIT : 32));
        }
        block = dom_realloc(d, block, 0); // not a free
        EXPECT(block != NULL);
        EXPECT_EQ(look(0, d).blocks - before.blocks, 1);
        dom_free(d, block);
        dom_free(d, NULL);
        EXPECT_EQ(look(0, d).blocks, before.blocks);
        EXPECT_EQ(look(0, d).bytes, before.bytes);

        // Requests that cannot be served change nothing.
        EXPECT(dom_malloc(d, (size_t)1 << 62) == NULL);
        block = dom_malloc(d, 100);
        EXPECT(dom_realloc(d, block, (size_t)1 << 62) == NULL);
        dom_free(d, block);
        EXPECT_EQ(look(0, d).blocks, before.blocks);
        EXPECT_EQ(look(0, d).bytes, before.bytes);
    }
    embed_stop();
}

// Above the classes usable bytes are mimalloc's or the system's to decide, but
// what comes goes.
CASE(large_blocks_are_counted_exactly)
{
    static const size_t large[] = {50000,   100000,  262144,
                                   1000000, 5000000, 40000000};
    embed_start();
    for (enum pimalloc_domain d = PIMALLOC_MEM; d <= PIMALLOC_OBJ; d++) {
        enum pimalloc_domain other =
            d == PIMALLOC_MEM ? PIMALLOC_OBJ : PIMALLOC_MEM;
        figures before = look(0, d);
        uint64_t committed = embed_stats(0).committed_bytes;
        for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
            size_t size = large[i];
            void *block = dom_malloc(d, size);
            figures now = look(0, d);
            EXPECT_EQ(now.blocks - before.blocks, 1);
            EXPECT_GE(now.bytes - before.bytes, size);
            EXPECT_LE(now.bytes - before.bytes, size + size / 4 + 70000);
            EXPECT_GE(embed_stats(0).committed_bytes,
                      now.bytes + look(0, other).bytes);
            for (int k = 0; k < 8; k++) {
                size = size * 3 / 2;
                block = dom_realloc(d, block, size);
                EXPECT(block != NULL);
                now = look(0, d);
                EXPECT_EQ(now.blocks - before.blocks, 1);
                EXPECT_GE(now.bytes - before.bytes, size);
                EXPECT_LE(now.bytes - before.bytes, size + size / 4 + 70000);
                EXPECT_GE(now.peak_bytes, now.bytes);
            }
            block = dom_realloc(d, block, 100);
            EXPECT_EQ(look(0, d).blocks - before.blocks, 1);
            dom_free(d, block);
            EXPECT_EQ(look(0, d).blocks, before.blocks);
            EXPECT_EQ(look(0, d).bytes, before.bytes);
        }
        pimalloc_trim(0); // freed memory is kept for a while
        EXPECT_LE(embed_stats(0).committed_bytes, committed + (4 << 20));
    }
    embed_stop();
}

CASE(raw_blocks_are_counted_exactly)
{
    enum { BLOCKS = 500 };
    static void *blocks[BLOCKS];
    embed_start();
    figures start = look(0, PIMALLOC_RAW);
    for (size_t i = 0; i < SIZES; i++) {
        figures before = look(0, PIMALLOC_RAW);
        for (int k = 0; k < BLOCKS; k++) {
            blocks[k] = k % 2 == 0 ? PyMem_RawMalloc(sizes[i])
                                   : PyMem_RawCalloc(1, sizes[i]);
            EXPECT(blocks[k] != NULL);
            EXPECT_EQ((uintptr_t)blocks[k] % 16, 0);
        }
        figures full = look(0, PIMALLOC_RAW);
        EXPECT_EQ(full.blocks - before.blocks, BLOCKS);
        EXPECT_GE(full.bytes - before.bytes, BLOCKS * sizes[i]);
        EXPECT_LE(full.bytes - before.bytes,
                  BLOCKS * (sizes[i] + sizes[i] / 4 + 32));
        for (int k = 0; k < BLOCKS; k++) {
            blocks[k] = PyMem_RawRealloc(blocks[k], 2 * sizes[i] + 1);
        }
        EXPECT_EQ(look(0, PIMALLOC_RAW).blocks - before.blocks, BLOCKS);
        for (int k = 0; k < BLOCKS; k++) {
            PyMem_RawFree(blocks[k]);
        }
        EXPECT_EQ(look(0, PIMALLOC_RAW).blocks, before.blocks);
        EXPECT_EQ(look(0, PIMALLOC_RAW).bytes, before.bytes);
    }
    EXPECT_GE(look(0, PIMALLOC_RAW).peak_blocks, start.blocks + BLOCKS);
    EXPECT(PyMem_RawMalloc((size_t)1 << 62) == NULL);
    EXPECT_EQ(look(0, PIMALLOC_RAW).bytes, start.bytes);
    embed_stop();
}

CASE(raw_blocks_have_an_owner_where_they_are_ours)
{
    embed_start();
    bool ours = embed_stats(PIMALLOC_PROCESS).raw_is_libc == 0;
    for (size_t i = 0; i < SIZES; i++) {
        int64_t id = 5;
        void *block = PyMem_RawMalloc(sizes[i]);
        EXPECT_EQ(pimalloc_owner(block, &id), ours ? 0 : -ENOENT);
        EXPECT_EQ(id, ours ? 0 : 5);
        PyMem_RawFree(block);
    }
    embed_stop();
}

// --- other threads ---------------------------------------------------------

static void *
look_without_thread_state(void *arg)
{
    figures *out = arg;
    *out = look(0, PIMALLOC_MEM);
    return NULL;
}

static void *shared_blocks[100];

static void *
allocate_in_other_thread(void *arg)
{
    (void)arg;
    PyGILState_STATE state = PyGILState_Ensure();
    figures before = look(0, PIMALLOC_MEM);
    for (int i = 0; i < 100; i++) {
        shared_blocks[i] = PyMem_Malloc(100);
    }
    figures after = look(0, PIMALLOC_MEM);
    EXPECT_EQ(after.blocks - before.blocks, 100);
    EXPECT_EQ(after.bytes - before.bytes, 100 * 112);
    PyGILState_Release(state);
    return NULL;
}

static void *
free_without_thread_state(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        PyMem_Free(shared_blocks[i]);
    }
    return NULL;
}

CASE(figures_are_the_same_in_every_thread)
{
    embed_start();
    embed_join(embed_thread(look_without_thread_state, &(figures){0}));
    figures here = look(0, PIMALLOC_MEM);
    figures there;
    embed_join(embed_thread(look_without_thread_state, &there));
    EXPECT_EQ(memcmp(&here, &there, sizeof(here)), 0);

    PyThreadState *outer = PyEval_SaveThread();
    embed_join(embed_thread(allocate_in_other_thread, NULL));
    PyEval_RestoreThread(outer);

    // Freed by somebody who does not own them: gone at once.
    figures before = look(0, PIMALLOC_MEM);
    uint64_t remote = embed_stats(0).remote_frees;
    embed_join(embed_thread(free_without_thread_state, NULL));
    figures after = look(0, PIMALLOC_MEM);
    EXPECT_EQ(before.blocks - after.blocks, 50);
    EXPECT_EQ(before.bytes - after.bytes, 50 * 112);
    EXPECT_EQ(embed_stats(0).remote_frees - remote, 50);

    // And by another interpreter.
    outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    before = look(0, PIMALLOC_MEM);
    figures own = look(embed_interp_id(), PIMALLOC_MEM);
    for (int i = 50; i < 100; i++) {
        PyMem_Free(shared_blocks[i]);
    }
    EXPECT_EQ(before.blocks - look(0, PIMALLOC_MEM).blocks, 50);
    EXPECT_EQ(look(embed_interp_id(), PIMALLOC_MEM).blocks, own.blocks);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    embed_stop();
}

// One block at a time goes from its owner to a thread that frees it while a
// third looks: no look may see a figure that never was.
static atomic_bool stop;
static _Atomic(void *) handed;
static uint64_t base_blocks;

static void *
free_what_is_handed(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        void *block = atomic_exchange(&handed, NULL);
        if (block == NULL) {
            sched_yield();
        }
        PyMem_Free(block);
    }
    return NULL;
}

static void *
look_all_the_time(void *arg)
{
    long *looks = arg;
    for (; !atomic_load(&stop); ++*looks) {
        pimalloc_usage u = embed_stats(0).domain[PIMALLOC_MEM];
        // Never fewer than before, never more than the few that are on the way.
        if (u.live_blocks < base_blocks || u.live_blocks > base_blocks + 4) {
            FAIL("%lld to %lld live blocks, saw %lld", (long long)base_blocks,
                 (long long)base_blocks + 4, (long long)u.live_blocks);
        }
    }
    return NULL;
}

CASE(looks_are_exact_while_blocks_come_and_go)
{
    embed_start();
    PyMem_Free(PyMem_Malloc(16));
    base_blocks = look(0, PIMALLOC_MEM).blocks;
    long looks = 0;
    pthread_t freer = embed_thread(free_what_is_handed, NULL);
    pthread_t looker = embed_thread(look_all_the_time, &looks);
    time_t end = time(NULL) + 2;
    while (time(NULL) < end) {
        void *block = PyMem_Malloc(16);
        void *none = NULL;
        while (!atomic_compare_exchange_weak(&handed, &none, block)) {
            none = NULL;
            sched_yield();
        }
    }
    while (atomic_load(&handed) != NULL) {
        sched_yield();
    }
    atomic_store(&stop, true);
    embed_join(freer);
    embed_join(looker);
    EXPECT_GT(looks, 1000);
    EXPECT_EQ(look(0, PIMALLOC_MEM).blocks, base_blocks);
    embed_stop();
}

static void *
look_at_everything(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        int64_t ids[200];
        size_t n = pimalloc_interpreters(ids, 200);
        for (size_t i = 0; i < n && i < 200; i++) {
            pimalloc_snapshot s = {.size = sizeof(s)};
            int err = pimalloc_stats(ids[i], &s);
            if (err == -ENOENT) {
                continue; // forgotten since
            }
            EXPECT_EQ(err, 0);
            for (int d = 0; d < PIMALLOC_DOMAINS; d++) {
                if (ids[i] != PIMALLOC_PROCESS) {
                    embed_expect_sane(s.domain[d]);
                }
            }
        }
        char *text = embed_stats_text();
        EXPECT_HAS(text, "process");
        free(text);
    }
    return NULL;
}

static void *
come_and_go(void *arg)
{
    (void)arg;
    for (int i = 0; i < 15; i++) {
        embed_guest guest;
        embed_enter(&guest, i % 4 == 0 ? EMBED_LEGACY : EMBED_OWN_GIL);
        embed_run("import json; x = [str(i) for i in range(3000)]");
        embed_leave(&guest);
    }
    return NULL;
}

CASE(looks_are_sane_while_interpreters_come_and_go)
{
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t looker = embed_thread(look_at_everything, NULL);
    pthread_t a = embed_thread(come_and_go, NULL);
    pthread_t b = embed_thread(come_and_go, NULL);
    embed_join(a);
    embed_join(b);
    atomic_store(&stop, true);
    embed_join(looker);
    PyEval_RestoreThread(outer);
    embed_stop();
}

// --- after the end ---------------------------------------------------------

CASE(what_is_left_is_counted)
{
    embed_start();
    pimalloc_snapshot process = embed_stats(PIMALLOC_PROCESS);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    embed_run("import json");
    void *left[4];
    left[0] = PyMem_Malloc(100);
    left[1] = PyMem_Malloc(100);
    left[2] = PyMem_Malloc(5000);
    left[3] = PyMem_Malloc(100000);
    embed_return(&guest);

    pimalloc_snapshot s = embed_stats(id);
    EXPECT_EQ(s.state, PIMALLOC_ENDED);
    EXPECT_GE(s.domain[PIMALLOC_MEM].live_blocks, 4);
    EXPECT_GE(s.domain[PIMALLOC_MEM].live_bytes, 2 * 112 + 5000 + 100000);
    EXPECT_GT(s.domain[PIMALLOC_OBJ].peak_blocks, 3000);
    if (PY_314_OR_NEWER) { // leaves nothing itself
        EXPECT_LE(s.domain[PIMALLOC_MEM].live_blocks, 4);
        EXPECT_LE(s.domain[PIMALLOC_OBJ].live_blocks, 0);
    }
    // The process answers for it, and its peaks include it.
    pimalloc_snapshot now = embed_stats(PIMALLOC_PROCESS);
    for (int d = PIMALLOC_MEM; d <= PIMALLOC_OBJ; d++) {
        EXPECT_EQ(now.domain[d].live_blocks - process.domain[d].live_blocks,
                  s.domain[d].live_blocks);
        EXPECT_EQ(now.domain[d].live_bytes - process.domain[d].live_bytes,
                  s.domain[d].live_bytes);
        embed_expect_sane(now.domain[d]);
    }
    EXPECT_GE(now.pages, 2);
    EXPECT_GE(now.committed_bytes, 100000);

    uint64_t expected_bytes = now.domain[PIMALLOC_MEM].live_bytes;
    const size_t small[] = {112, 112, usable(5000)};
    for (int i = 0; i < 3; i++) {
        PyMem_Free(left[i]);
        expected_bytes -= small[i];
        pimalloc_usage u = embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_MEM];
        EXPECT_EQ(u.live_bytes, expected_bytes);
    }
    PyMem_Free(left[3]);
    pimalloc_usage u = embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_MEM];
    EXPECT_EQ(now.domain[PIMALLOC_MEM].live_blocks - u.live_blocks, 4);
    EXPECT_LE(u.live_bytes, expected_bytes - 100000);
    // What it left when it ended stays what it was.
    EXPECT_EQ(embed_stats(id).domain[PIMALLOC_MEM].live_blocks,
              s.domain[PIMALLOC_MEM].live_blocks);
    embed_stop();
}

CASE(ended_interpreters_are_remembered_for_a_while)
{
    embed_start();
    for (int i = 1; i <= 66; i++) {
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        EXPECT_EQ(embed_interp_id(), i);
        embed_return(&guest);
    }
    pimalloc_snapshot s = {.size = sizeof(s)};
    EXPECT_EQ(pimalloc_stats(2, &s), -ENOENT);
    EXPECT_EQ(pimalloc_stats(3, &s), 0);
    EXPECT_EQ(s.state, PIMALLOC_ENDED);
    EXPECT_EQ(s.interp, 3);
    EXPECT_EQ(pimalloc_stats(66, &s), 0);
    EXPECT_EQ(pimalloc_stats(67, &s), -ENOENT);
    EXPECT_EQ(pimalloc_stats(-2, &s), -ENOENT);
    int64_t ids[100];
    EXPECT_EQ(pimalloc_interpreters(ids, 100), 65);
    EXPECT_EQ(pimalloc_interpreters(ids, 3), 65);
    EXPECT_EQ(pimalloc_interpreters(NULL, 0), 65);
    embed_stop();
}
