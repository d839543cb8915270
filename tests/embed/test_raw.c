// test_raw.c -- whose raw blocks are: those of the interpreter that was current
// when they were allocated, and the process's if none was.

#include <errno.h>
#include <string.h>

#include "support/crowd.h"
#include "support/embed.h"

#define BLOCKS 100

static void *some[BLOCKS];

static pimalloc_usage
raw_of(int64_t interp)
{
    pimalloc_usage usage = embed_stats(interp).domain[PIMALLOC_RAW];
    embed_expect_sane(usage);
    return usage;
}

static void
allocate(size_t size)
{
    for (int i = 0; i < BLOCKS; i++) {
        some[i] = i % 2 == 0 ? PyMem_RawMalloc(size) : PyMem_RawCalloc(1, size);
        EXPECT(some[i] != NULL);
        memset(some[i], i, size);
    }
}

static void
drop(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        PyMem_RawFree(some[i]);
    }
}

static bool is_ours; // not libc's

static void
start(void)
{
    embed_start();
    embed_skip_if_vanilla("there are no figures");
    is_ours = embed_stats(PIMALLOC_PROCESS).raw_is_libc == 0;
}

// Where raw is libc's, CPython frees some blocks past us.
static void
expect_blocks(int64_t interp, uint64_t expected)
{
    uint64_t blocks = raw_of(interp).live_blocks;
    if (is_ours) {
        EXPECT_EQ(blocks, expected);
    } else {
        EXPECT_LE(blocks, expected + 40);
    }
}

static const size_t sizes[] = {24, 544, 3000, 30000, 100000, 3000000};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

CASE(blocks_are_counted_where_they_were_allocated)
{
    start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    for (size_t i = 0; i < SIZES; i++) {
        pimalloc_usage main = raw_of(0);
        pimalloc_usage own = raw_of(id);
        pimalloc_usage process = raw_of(PIMALLOC_PROCESS);
        allocate(sizes[i]);
        EXPECT_EQ(raw_of(id).live_blocks, own.live_blocks + BLOCKS);
        EXPECT_GE(raw_of(id).live_bytes, own.live_bytes + BLOCKS * sizes[i]);
        EXPECT_EQ(raw_of(0).live_blocks, main.live_blocks);
        EXPECT_EQ(raw_of(PIMALLOC_PROCESS).live_blocks, process.live_blocks);
        int64_t owner = -7;
        EXPECT_EQ(pimalloc_owner(some[0], &owner), is_ours ? 0 : -ENOENT);
        EXPECT_EQ(owner, is_ours ? id : -7);
        PyThreadState_Swap(outer);
        drop(); // by another interpreter
        EXPECT_EQ(raw_of(id).live_bytes, own.live_bytes);
        EXPECT_EQ(raw_of(0).live_bytes, main.live_bytes);
        PyThreadState_Swap(sub);
    }
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    embed_stop();
}

CASE(without_a_thread_state_the_process_answers)
{
    start();
    pimalloc_usage main = raw_of(0);
    PyThreadState *outer = PyEval_SaveThread();
    for (size_t i = 0; i < SIZES; i++) {
        pimalloc_usage process = raw_of(PIMALLOC_PROCESS);
        allocate(sizes[i]);
        EXPECT_EQ(raw_of(PIMALLOC_PROCESS).live_blocks,
                  process.live_blocks + BLOCKS);
        EXPECT_EQ(raw_of(0).live_blocks, main.live_blocks);
        drop();
        EXPECT_EQ(raw_of(PIMALLOC_PROCESS).live_bytes, process.live_bytes);
    }
    PyEval_RestoreThread(outer);
    embed_stop();
}

#define WORK                                                                   \
    "import json, re, threading, zlib, struct\n"                               \
    "lock = [threading.Lock() for _ in range(100)]\n"                          \
    "data = json.loads(json.dumps({str(i): [i] * 20 for i in range(2000)}))\n" \
    "packed = zlib.compress(bytes(300000))\n"                                  \
    "packer = zlib.compressobj()\n"                                            \
    "found = re.findall(r'(a+)(b+)', 'aaabb' * 1000)\n"

CASE(an_interpreters_raw_blocks_are_gone_when_it_ended)
{
    start();
    PyThreadState *outer = PyThreadState_Get();
    Py_EndInterpreter(embed_new_interp(EMBED_OWN_GIL)); // first of its kind
    PyThreadState_Swap(outer);
    pimalloc_usage main = raw_of(0);
    pimalloc_usage process = raw_of(PIMALLOC_PROCESS);
    for (int i = 0; i < 5; i++) {
        PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        embed_run(WORK);
        EXPECT_GT(raw_of(id).live_blocks, 10);
        EXPECT_GT(raw_of(id).live_bytes, 10000);
        Py_EndInterpreter(sub);
        PyThreadState_Swap(outer);
        EXPECT_EQ(embed_stats(id).state, PIMALLOC_ENDED);
        expect_blocks(id, 0);
        EXPECT_GT(raw_of(id).peak_blocks, 10);
        expect_blocks(0, main.live_blocks);
        expect_blocks(PIMALLOC_PROCESS, process.live_blocks);
    }
    embed_stop();
}

CASE(a_runtime_leaves_no_raw_blocks)
{
    start();
    embed_run(WORK);
    EXPECT_GT(raw_of(0).live_blocks, 10);
    embed_stop();
    expect_blocks(0, 0);
    expect_blocks(PIMALLOC_PROCESS, 0);
}

static void *
work_in_own_interpreter(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        embed_run(WORK);
        EXPECT_GT(raw_of(id).live_blocks, 10);
        embed_leave(&guest);
        expect_blocks(id, 0);
    }
    return NULL;
}

CASE(interpreters_side_by_side_are_told_apart)
{
    start();
    crowd_run(work_in_own_interpreter, 2);
    embed_stop();
    expect_blocks(PIMALLOC_PROCESS, 0);
}

CASE_ENV_OF(blocks_are_counted_where_the_getter_says,
            blocks_are_counted_where_they_were_allocated(),
            "PIMALLOC_TSTATE=call")
CASE_ENV_OF(the_process_answers_where_the_getter_says,
            without_a_thread_state_the_process_answers(),
            "PIMALLOC_TSTATE=call")
