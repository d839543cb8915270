// test_classes.c -- accounts by size class, with Python at work.

#include <errno.h>
#include <stdatomic.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define CLASSES_MAX 128

typedef struct classes {
    pimalloc_class of[CLASSES_MAX];
    int count;
} classes;

static classes
look(int64_t interp, enum pimalloc_domain domain)
{
    classes c;
    c.of[0].size = sizeof(c.of[0]);
    c.count = pimalloc_classes(interp, domain, c.of, CLASSES_MAX);
    EXPECT_GT(c.count, 50);
    EXPECT_LE(c.count, CLASSES_MAX);
    return c;
}

// The class that serves a small request.
static const pimalloc_class *
serving(const classes *c, size_t bytes)
{
    for (int i = 0; i < c->count - 2; i++) {
        if (c->of[i].block_bytes >= bytes) {
            return &c->of[i];
        }
    }
    FAIL("a class for %zu bytes", bytes);
}

// Nothing of Python runs between the two looks.
static void
expect_sums(int64_t interp)
{
    for (enum pimalloc_domain d = PIMALLOC_RAW; d <= PIMALLOC_OBJ; d++) {
        if (d == PIMALLOC_RAW && interp == PIMALLOC_PROCESS) {
            continue; // some are in no class
        }
        pimalloc_usage domain = embed_stats(interp).domain[d];
        classes c = look(interp, d);
        pimalloc_usage sum = {0};
        for (int i = 0; i < c.count; i++) {
            const pimalloc_usage *u = &c.of[i].usage;
            uint64_t bytes = c.of[i].block_bytes;
            EXPECT_EQ(c.of[i].size, sizeof(c.of[i]));
            EXPECT_EQ(bytes == 0, i >= c.count - 2);
            embed_expect_sane(*u);
            if (bytes != 0) {
                EXPECT_EQ(u->live_bytes, u->live_blocks * bytes);
                EXPECT_EQ(u->peak_bytes, u->peak_blocks * bytes);
                EXPECT_EQ(u->total_bytes, u->total_blocks * bytes);
            }
            sum.live_bytes += u->live_bytes;
            sum.live_blocks += u->live_blocks;
            sum.total_bytes += u->total_bytes;
            sum.total_blocks += u->total_blocks;
        }
        EXPECT_EQ(sum.live_bytes, domain.live_bytes);
        EXPECT_EQ(sum.live_blocks, domain.live_blocks);
        EXPECT_EQ(sum.total_bytes, domain.total_bytes);
        EXPECT_EQ(sum.total_blocks, domain.total_blocks);
        if (interp != PIMALLOC_PROCESS) {
            EXPECT_GE(domain.total_bytes, domain.peak_bytes);
            EXPECT_GE(domain.total_blocks, domain.peak_blocks);
        }
    }
}

static const char *const programs[] = {
    "x = [str(i) * (i % 50) for i in range(20000)]",
    "x = {i: bytes(i) for i in range(3000)}",
    "x = [bytearray(50_000 + i) for i in range(100)]; x.extend(bytes(3 << 20)\n"
    "    for _ in range(5))",
    "import json; x = json.loads('[' + '[1.5, true, \"abc\"],' * 9999 + '0]')",
    "x = []\n"
    "for i in range(100_000): x.append(i)",
    "import re; x = [re.compile('a{%d}|b+' % i) for i in range(1, 60)]",
    "x = None; import gc; gc.collect()",
};
#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

CASE(classes_add_up_to_their_domain_at_any_moment)
{
    embed_start();
    for (size_t i = 0; i < PROGRAMS; i++) {
        embed_run(programs[i]);
        expect_sums(0);
    }
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    for (size_t i = 0; i < PROGRAMS; i++) {
        embed_run(programs[i]);
        expect_sums(id);
    }
    embed_return(&guest);
    expect_sums(id);
    expect_sums(0);
    expect_sums(PIMALLOC_PROCESS);
    embed_stop();
    expect_sums(0);
    expect_sums(PIMALLOC_PROCESS);
}

CASE(a_block_counts_in_the_class_that_serves_it)
{
    embed_start();
    static const size_t sizes[] = {1,   16,   17,   100,   512,
                                   513, 2000, 9999, 20000, 32768};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        classes before = look(0, PIMALLOC_MEM);
        void *blocks[40];
        for (int n = 0; n < 40; n++) {
            blocks[n] = PyMem_Malloc(sizes[i]);
        }
        classes full = look(0, PIMALLOC_MEM);
        for (int n = 0; n < 40; n++) {
            PyMem_Free(blocks[n]);
        }
        classes after = look(0, PIMALLOC_MEM);
        const pimalloc_usage *was = &serving(&before, sizes[i])->usage;
        const pimalloc_usage *is = &serving(&full, sizes[i])->usage;
        EXPECT_EQ(is->live_blocks - was->live_blocks, 40);
        EXPECT_EQ(is->total_blocks - was->total_blocks, 40);
        EXPECT_GE(is->peak_blocks, is->live_blocks);
        const pimalloc_usage *end = &serving(&after, sizes[i])->usage;
        EXPECT_EQ(end->live_blocks, was->live_blocks);
        EXPECT_EQ(end->total_blocks, is->total_blocks);
        EXPECT_EQ(end->peak_blocks, is->peak_blocks);
    }
    classes before = look(0, PIMALLOC_OBJ);
    void *run = PyObject_Malloc(100000);
    void *large = PyObject_Malloc(2 << 20);
    classes full = look(0, PIMALLOC_OBJ);
    int n = full.count;
    EXPECT_EQ(full.of[n - 2].usage.live_blocks,
              before.of[n - 2].usage.live_blocks + 1);
    EXPECT_GE(full.of[n - 2].usage.live_bytes,
              before.of[n - 2].usage.live_bytes + 100000);
    EXPECT_EQ(full.of[n - 1].usage.live_blocks,
              before.of[n - 1].usage.live_blocks + 1);
    EXPECT_GE(full.of[n - 1].usage.live_bytes,
              before.of[n - 1].usage.live_bytes + (2 << 20));
    PyObject_Free(run);
    PyObject_Free(large);
    embed_stop();
}

CASE(what_was_ever_allocated_outlives_the_interpreter)
{
    embed_start();
    classes process = look(PIMALLOC_PROCESS, PIMALLOC_MEM);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    for (int i = 0; i < 1000; i++) {
        PyMem_Free(PyMem_Malloc(9000));
    }
    void *left = PyMem_Malloc(9000);
    classes alive = look(id, PIMALLOC_MEM);
    embed_return(&guest);
    classes ended = look(id, PIMALLOC_MEM);
    classes now = look(PIMALLOC_PROCESS, PIMALLOC_MEM);
    const pimalloc_usage *u = &serving(&ended, 9000)->usage;
    EXPECT_GE(u->total_blocks, serving(&alive, 9000)->usage.total_blocks);
    EXPECT_GE(u->total_blocks, 1001);
    EXPECT_GE(u->live_blocks, 1);
    EXPECT_EQ(serving(&now, 9000)->usage.live_blocks -
                  serving(&process, 9000)->usage.live_blocks,
              u->live_blocks);
    EXPECT_EQ(serving(&now, 9000)->usage.total_blocks,
              serving(&process, 9000)->usage.total_blocks);
    PyMem_Free(left);
    now = look(PIMALLOC_PROCESS, PIMALLOC_MEM);
    EXPECT_EQ(serving(&now, 9000)->usage.live_blocks -
                  serving(&process, 9000)->usage.live_blocks,
              u->live_blocks - 1);
    embed_stop();
}

// --- beside running interpreters ---------------------------------------------

static _Atomic bool done;

static void *
work(void *unused)
{
    (void)unused;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    for (int i = 0; i < 20; i++) {
        embed_run(programs[(size_t)i % PROGRAMS]);
    }
    embed_leave(&guest);
    atomic_store(&done, true);
    return NULL;
}

CASE(classes_are_read_while_the_interpreter_runs)
{
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t worker = embed_thread(work, NULL);
    classes before;
    before.count = 0;
    while (!atomic_load(&done)) {
        classes now;
        now.of[0].size = sizeof(now.of[0]);
        now.count = pimalloc_classes(1, PIMALLOC_OBJ, now.of, CLASSES_MAX);
        if (now.count == -ENOENT) {
            continue;
        }
        for (int i = 0; i < now.count && i < before.count; i++) {
            const pimalloc_usage *u = &now.of[i].usage;
            embed_expect_sane(*u);
            EXPECT_GE(u->total_bytes, before.of[i].usage.total_bytes);
            EXPECT_GE(u->total_blocks, before.of[i].usage.total_blocks);
            EXPECT_GE(u->peak_bytes, before.of[i].usage.peak_bytes);
        }
        before = now;
    }
    embed_join(worker);
    PyEval_RestoreThread(outer);
    expect_sums(1);
    embed_stop();
}

// --- the call ------------------------------------------------------------------

CASE(wrong_arguments_are_refused)
{
    pimalloc_class one[2] = {{.size = sizeof(one[0])}, {.size = 0}};
    EXPECT_EQ(pimalloc_classes(0, PIMALLOC_OBJ, one, 2), -ENOENT);
    embed_start();
    int all = pimalloc_classes(0, PIMALLOC_OBJ, NULL, 0);
    EXPECT_GT(all, 50);
    EXPECT_EQ(pimalloc_classes(0, PIMALLOC_OBJ, one, 2), all);
    EXPECT_EQ(one[0].block_bytes, 16);
    EXPECT_EQ(one[1].block_bytes, 32);
    EXPECT_EQ(pimalloc_classes(77, PIMALLOC_OBJ, one, 2), -ENOENT);
    EXPECT_EQ(pimalloc_classes(-2, PIMALLOC_MEM, one, 2), -ENOENT);
    EXPECT_EQ(pimalloc_classes(0, -1, one, 2), -EINVAL);
    EXPECT_EQ(pimalloc_classes(0, PIMALLOC_DOMAINS, one, 2), -EINVAL);
    EXPECT_EQ(pimalloc_classes(0, PIMALLOC_OBJ, NULL, 2), -EINVAL);
    one[0].size = 1;
    EXPECT_EQ(pimalloc_classes(0, PIMALLOC_OBJ, one, 2), -EINVAL);
    EXPECT_EQ(pimalloc_classes(77, PIMALLOC_RAW, NULL, 0), -ENOENT);
    EXPECT_GE(pimalloc_classes(PIMALLOC_PROCESS, PIMALLOC_RAW, NULL, 0), 0);
    embed_stop();
}

CASE(raw_counts_what_was_ever_allocated)
{
    embed_start();
    pimalloc_usage before = embed_stats(0).domain[PIMALLOC_RAW];
    for (int i = 0; i < 3000; i++) {
        PyMem_RawFree(PyMem_RawMalloc(1000));
    }
    void *grown = PyMem_RawMalloc(5000);
    grown = PyMem_RawRealloc(grown, 500000);
    PyMem_RawFree(grown);
    pimalloc_usage after = embed_stats(0).domain[PIMALLOC_RAW];
    EXPECT_GE(after.total_blocks - before.total_blocks, 3001);
    EXPECT_LE(after.total_blocks - before.total_blocks, 3010);
    EXPECT_GE(after.total_bytes - before.total_bytes, 3000 * 1000 + 500000);
    EXPECT_EQ(after.live_blocks, before.live_blocks);
    embed_stop();
}

CASE(raw_blocks_are_in_a_class_of_their_interpreter)
{
    embed_start();
    bool is_ours = embed_stats(PIMALLOC_PROCESS).raw_is_libc == 0;
    classes before = look(0, PIMALLOC_RAW);
    int last = before.count - 1;
    void *small = PyMem_RawMalloc(500);
    void *large = PyMem_RawMalloc(500000);
    classes after = look(0, PIMALLOC_RAW);
    uint64_t in_small = serving(&after, 500)->usage.live_blocks -
                        serving(&before, 500)->usage.live_blocks;
    uint64_t in_large =
        after.of[last].usage.live_blocks - before.of[last].usage.live_blocks;
    EXPECT_EQ(in_small, is_ours ? 1 : 0);
    EXPECT_EQ(in_large, is_ours ? 1 : 2);
    expect_sums(0);
    PyMem_RawFree(small);
    PyMem_RawFree(large);
    EXPECT_EQ(look(0, PIMALLOC_RAW).of[last].usage.live_blocks,
              before.of[last].usage.live_blocks);
    embed_stop();
}
