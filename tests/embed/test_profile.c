// test_profile.c -- profiles of real interpreters: many at once, with stacks, that
// end while they are sampled.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pimalloc/profile.h>

#include "support/crowd.h"
#include "support/embed.h"
#include "support/patience.h"
#include "support/scratch.h"

#define GUESTS 4
#define MANY 1024 // bytes between two samples

// Code that is compiled, runs and dies; generators; lists that grow; strings.
static const char work[] =
    "kept = []\n"
    "def numbers(n):\n"
    "    for i in range(n):\n"
    "        yield str(i) * 3\n"
    "def build(n):\n"
    "    kept.extend(numbers(n))\n"
    "    return {i: [i] * 5 for i in range(n)}\n"
    "def round(n):\n"
    "    space = {}\n"
    "    exec(f'def made_{n}(x):\\n return [x, {n}, str(x)]', space)\n"
    "    for i in range(50):\n"
    "        space[f'made_{n}'](i)\n"
    "    build(300)\n"
    "    if n % 20 == 0:\n"
    "        kept.clear()\n"
    "        int('7' * 2000)\n"
    "        b''.join(bytes([i % 256]) * 1000 for i in range(100))\n";

static pimalloc_profile_figures
figures(void)
{
    pimalloc_profile_figures f = {.size = sizeof(f)};
    EXPECT_EQ(pimalloc_profile_get(&f), 0);
    return f;
}

static void
work_for_rounds(int rounds)
{
    char code[64];
    embed_run(work);
    for (int i = 0; i < rounds; i++) {
        snprintf(code, sizeof(code), "round(%d)", i);
        embed_run(code);
    }
}

static uint64_t
total_bytes(int64_t interp)
{
    pimalloc_snapshot s = embed_stats(interp);
    return s.domain[PIMALLOC_MEM].total_bytes +
           s.domain[PIMALLOC_OBJ].total_bytes;
}

// From a function that Python code calls, so that stacks can be proven.  PyDLL()
// keeps the GIL.
static void
start(uint64_t period)
{
    char code[200];
    snprintf(code, sizeof(code),
             "import ctypes\n"
             "start = ctypes.PyDLL(None).pimalloc_profile_start\n"
             "start.argtypes = [ctypes.c_uint64, ctypes.c_uint]\n"
             "assert start(%llu, 0) == 0\n",
             (unsigned long long)period);
    embed_run(code);
    EXPECT(pimalloc_profile_why() == NULL);
}

static const char *
folded(void)
{
    EXPECT_EQ(pimalloc_profile_save(scratch_path("p"), PIMALLOC_FOLDED), 0);
    return scratch_read(scratch_path("p"));
}

// --- one ---------------------------------------------------------------------

CASE(estimates_agree_with_the_accounts)
{
    embed_skip_if_vanilla("samples are ours alone");
    embed_start();
    start(64 * 1024);
    uint64_t before = total_bytes(0);
    uint64_t estimate = figures().total_bytes;
    work_for_rounds(300);
    uint64_t counted = total_bytes(0) - before;
    estimate = figures().total_bytes - estimate;
    EXPECT_GT(figures().samples, 500);
    EXPECT_GE(estimate, counted - counted / 6);
    if (!PY_314_OR_NEWER) { // else raw is sampled, too
        EXPECT_LE(estimate, counted + counted / 6);
    }
    EXPECT_EQ(figures().dropped, 0);
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    embed_stop();
}

CASE(stacks_come_with_python_code)
{
    embed_skip_if_vanilla("samples are ours alone");
    scratch_make();
    embed_start();
    EXPECT_EQ(pimalloc_profile_start(MANY, 0), 0);
    EXPECT_HAS(pimalloc_profile_why(), "no Python code was running");
    embed_run("early = [str(i) for i in range(2000)]");
    EXPECT_HAS(folded(), "main;[no Python frame] ");
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    start(MANY);
    work_for_rounds(3);
    EXPECT_HAS(folded(), ">:1);round (<string>:13);build (<string>:");
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    embed_stop();
    scratch_remove(1);
}

// What a runtime left is nobody's in the next one, and its stacks can be read.
CASE(a_profile_outlives_a_runtime)
{
    embed_skip_if_vanilla("samples are ours alone");
    scratch_make();
    for (int i = 0; i < 3; i++) {
        embed_start();
        if (i == 0) {
            start(MANY);
        }
        uint64_t samples = figures().samples;
        work_for_rounds(5);
        EXPECT_GT(figures().samples, samples + 100);
        embed_stop();
    }
    EXPECT_EQ(pimalloc_profile_save(scratch_path("p"), PIMALLOC_SPEEDSCOPE), 0);
    const char *text = scratch_read(scratch_path("p"));
    EXPECT_HAS(text, "\"main: allocated bytes\"");
    EXPECT_HAS(text, "\"main, runtime 3: allocated bytes\"");
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    scratch_remove(1);
}

// --- many --------------------------------------------------------------------

static int64_t ids[GUESTS];
static budget allowed;

static void *
work_as_a_guest(void *arg)
{
    int self = (int)(uintptr_t)arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    ids[self] = embed_interp_id();
    crowd_is_at_work();
    for (int i = 0; i < 40 && budget_is_left(&allowed); i++) {
        work_for_rounds(20);
    }
    embed_leave(&guest);
    return NULL;
}

CASE(four_interpreters_are_sampled)
{
    embed_skip_if_vanilla("samples are ours alone");
    scratch_make();
    embed_start();
    start(MANY);
    allowed = budget_open();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(work_as_a_guest, GUESTS);
    crowd_wait();
    for (int i = 0; i < 5; i++) { // while they work
        EXPECT_EQ(pimalloc_profile_save(scratch_path("p"), i % 4), 0);
        EXPECT_EQ(pimalloc_profile_mark(), 0);
    }
    crowd_join();
    PyEval_RestoreThread(outer);

    pimalloc_profile_figures f = figures();
    uint64_t counted = 0;
    for (int i = 0; i < GUESTS; i++) {
        counted += total_bytes(ids[i]);
    }
    EXPECT_GT(f.samples, 10000);
    EXPECT_GE(f.total_bytes, counted / 4); // which has what is exchanged, twice
    EXPECT_GE(f.total_bytes, f.live_bytes);
    EXPECT_LE(f.live_bytes, f.total_bytes / 4);
    EXPECT_EQ(pimalloc_profile_save(scratch_path("p"), PIMALLOC_SPEEDSCOPE), 0);
    const char *text = scratch_read(scratch_path("p"));
    for (int i = 0; i < GUESTS; i++) {
        char name[64];
        snprintf(name, sizeof(name), "\"interp %lld: allocated bytes\"",
                 (long long)ids[i]);
        EXPECT_HAS(text, name);
    }
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    embed_stop();
    scratch_remove(1);
}

// Begun and ended by the one, while others come and go.
static void *
come_and_go(void *arg)
{
    (void)arg;
    crowd_is_at_work();
    while (!crowd_stops()) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        work_for_rounds(3);
        embed_leave(&guest);
    }
    return NULL;
}

CASE(profiles_come_and_go_beside_interpreters)
{
    embed_skip_if_vanilla("samples are ours alone");
    embed_start();
    start(MANY);
    budget time = budget_open();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(come_and_go, 3);
    crowd_wait();
    for (int i = 0; i < 200 && budget_is_left(&time); i++) {
        while (figures().samples < 100) {
            embed_sleep_ms(1);
        }
        EXPECT_EQ(pimalloc_profile_stop(), 0);
        EXPECT_EQ(pimalloc_profile_stop(), -ESRCH);
        EXPECT_EQ(pimalloc_profile_start(MANY, 1 + i % 8), 0);
    }
    crowd_stop();
    PyEval_RestoreThread(outer);
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    embed_stop();
}
