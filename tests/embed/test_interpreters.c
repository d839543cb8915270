// test_interpreters.c -- many interpreters, and mixtures of their kinds.
//
// Dangers covered: static types freed under the wrong interpreter and after the
// right one; legacy interpreters share main's objects; the current interpreter
// changes within one call.

#include <stdlib.h>
#include <string.h>

#include "support/crowd.h"
#include "support/embed.h"

#define THREADS 4

// --- many ------------------------------------------------------------------

// Ends that came past us, for another thread had CPython swap the raw table just
// then, up to 3.13.  They are noticed later (embed/test_ends).  There may be many:
// two threads that swap at once can leave libc's table where ours was.
#define UNNOTICED_MAX 200
static _Atomic unsigned unnoticed;

static void *
fifty_interpreters(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200 / THREADS; i++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        embed_run("import json, re\n"
                  "x = [str(i) for i in range(2000)]\n"
                  "assert re.sub('1', '2', '11') == '22'\n");
        if (!embed_is_vanilla()) {
            pimalloc_snapshot s = embed_stats(id);
            EXPECT_EQ(s.interp, id);
            EXPECT_EQ(s.state, PIMALLOC_ALIVE);
            EXPECT_GT(s.domain[PIMALLOC_OBJ].live_blocks, 5000);
            EXPECT_LE(s.domain[PIMALLOC_OBJ].live_blocks, 200000);
        }
        embed_leave(&guest);
        if (!embed_is_vanilla()) {
            pimalloc_snapshot s = embed_stats(id);
            EXPECT_EQ(s.interp, id);
            if (PY_314_OR_NEWER || s.state == PIMALLOC_ENDED) {
                EXPECT_EQ(s.state, PIMALLOC_ENDED);
                EXPECT_LE(s.domain[PIMALLOC_OBJ].live_blocks,
                          PY_314_OR_NEWER ? 400 : 30000);
            } else {
                unnoticed++;
            }
        }
    }
    return NULL;
}

CASE(two_hundred_interpreters_in_four_threads)
{
    embed_start();
    crowd_run(fifty_interpreters, THREADS);
    if (!embed_is_vanilla()) {
        int64_t ids[65 + UNNOTICED_MAX];
        unsigned missed = unnoticed;
        unsigned alive = 0;
        size_t n = pimalloc_interpreters(ids, 65 + UNNOTICED_MAX);
        EXPECT_GE(n, 65);
        EXPECT_LE(n, 65 + missed);
        for (size_t i = 0; i < n; i++) {
            alive += embed_stats(ids[i]).state == PIMALLOC_ALIVE;
        }
        EXPECT_EQ(embed_stats(0).state, PIMALLOC_ALIVE);
        EXPECT_LE(alive, 1 + missed);
    }
    embed_stop();
}

static void *
ten_of_a_kind(void *arg)
{
    static const embed_kind kinds[THREADS] = {EMBED_OWN_GIL, EMBED_LEGACY,
                                              EMBED_SHARED_GIL, EMBED_OWN_GIL};
    for (int i = 0; i < 10; i++) {
        embed_guest guest;
        embed_enter(&guest, kinds[(uintptr_t)arg]);
        embed_run("import json, sys, collections\n"
                  "names = [sys.intern('name%d' % i) for i in range(3000)]\n"
                  "json.loads(json.dumps(names))\n");
        embed_leave(&guest);
    }
    return NULL;
}

CASE(kinds_mix)
{
    embed_start();
    crowd_run(ten_of_a_kind, THREADS);
    embed_run(
        "import sys; x = [sys.intern('name%d' % i) for i in range(3000)]");
    embed_stop();
}

CASE(shared_gil_with_own_heap)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *subs[3];
    char *blocks[3];
    for (int i = 0; i < 3; i++) {
        subs[i] = embed_new_interp(EMBED_SHARED_GIL);
        embed_run("import json, collections, datetime");
        blocks[i] = PyMem_Malloc(100);
        memset(blocks[i], 'a' + i, 100);
        if (!embed_is_vanilla()) {
            EXPECT_EQ(embed_stats(embed_interp_id()).interp, i + 1);
        }
    }
    // Each frees and moves the next one's block.
    for (int i = 0; i < 3; i++) {
        PyThreadState_Swap(subs[i]);
        blocks[(i + 1) % 3] = PyMem_Realloc(blocks[(i + 1) % 3], 1000);
        EXPECT_EQ(blocks[(i + 1) % 3][99], 'a' + (i + 1) % 3);
    }
    for (int i = 0; i < 3; i++) {
        PyThreadState_Swap(subs[i]);
        PyMem_Free(blocks[(i + 2) % 3]);
        Py_EndInterpreter(subs[i]);
    }
    PyThreadState_Swap(outer);
    embed_stop();
}

// --- legacy (fact 4) -------------------------------------------------------

CASE(legacy_interpreters_use_the_main_heap)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_LEGACY);
    int64_t id = embed_interp_id();
    pimalloc_usage before = embed_stats(0).domain[PIMALLOC_MEM];
    void *block = PyMem_Malloc(1000);
    pimalloc_usage after = embed_stats(0).domain[PIMALLOC_MEM];
    EXPECT_EQ(after.live_blocks - before.live_blocks, 1);

    // One set of figures, one set of rows.
    char *text = embed_stats_text();
    const char *row = strstr(text, "interp 0");
    EXPECT(row != NULL);
    if (strstr(row + 1, "interp 0 ") != NULL) {
        FAIL("the main interpreter once in: %s", text);
    }
    free(text);
    PyThreadState_Swap(outer);
    PyMem_Free(block);
    EXPECT_EQ(embed_stats(0).remote_frees, 0); // the GIL is the same
    PyThreadState_Swap(sub);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    EXPECT_EQ(embed_stats(0).state, PIMALLOC_ALIVE);
    pimalloc_snapshot s = {.size = sizeof(s)};
    if (pimalloc_stats(id, &s) == 0) {
        EXPECT_EQ(s.state, PIMALLOC_ENDED);
    }
    embed_stop();
}

CASE(strings_of_dead_legacy_interpreters_are_freed_by_main)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    for (int round = 0; round < 3; round++) {
        PyThreadState *sub = embed_new_interp(EMBED_LEGACY);
        embed_run("import sys, json, re, datetime, asyncio\n"
                  "for i in range(20000): sys.intern('legacy_%d' % i)\n"
                  "ns = {}\n"
                  "for i in range(5000):\n"
                  "    setattr(sys, 'legacy_%d' % i, str(i))\n");
        Py_EndInterpreter(sub);
        PyThreadState_Swap(outer);
        embed_run("import sys\n"
                  "x = [sys.intern('legacy_%d' % i) for i in range(20000)]\n"
                  "assert x[77] == 'legacy_77'\n"
                  "del x\n");
    }
    PyThreadState *own = embed_new_interp(EMBED_OWN_GIL);
    embed_run("import json");
    Py_EndInterpreter(own);
    PyThreadState_Swap(outer);
    embed_stop();
    if (PY_314_OR_NEWER && !embed_is_vanilla()) {
        EXPECT_LE(embed_stats(0).domain[PIMALLOC_OBJ].live_blocks, 400);
    }
}

// --- static types (facts 2 and 3) ------------------------------------------

static pthread_mutex_t import_lock = PTHREAD_MUTEX_INITIALIZER;

// 3.12 has no lock for its static types: several threads in them at once break
// its reference counts, whatever the allocator.  3.13 keeps their users' count and
// their weak references without one, too: its debug builds assert the count, and
// two threads that end interpreters at once were seen in one broken list.
static bool
static_types_need_a_lock(void)
{
    return !PY_314_OR_NEWER;
}

static void
lock_static_types(void)
{
    if (static_types_need_a_lock()) {
        pthread_mutex_lock(&import_lock);
    }
}

static void
unlock_static_types(void)
{
    if (static_types_need_a_lock()) {
        pthread_mutex_unlock(&import_lock);
    }
}

static void *
import_static_types(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        lock_static_types();
        embed_run("import datetime, decimal, struct, functools\n"
                  "x = [datetime.timedelta(i) for i in range(1000)]\n"
                  "y = [decimal.Decimal(i) for i in range(1000)]\n");
        unlock_static_types();
        embed_sleep_ms(2);
        lock_static_types();
        embed_leave(&guest);
        unlock_static_types();
    }
    return NULL;
}

CASE(static_types_are_freed_by_others)
{
    embed_start();
    crowd_run(import_static_types, THREADS);
    embed_run("import datetime, decimal; datetime.datetime.now()");
    embed_stop();
}

// --- what outlives its interpreter (fact 3) --------------------------------

CASE(leaked_objects_stay_readable_and_can_be_freed)
{
    embed_start();
    enum { SIZES = 6, ROUNDS = 5 };
    static const Py_ssize_t sizes[SIZES] = {1,     400,    5000,
                                            30000, 200000, 48 << 20};
    PyObject *leaked[ROUNDS][SIZES];
    for (int round = 0; round < ROUNDS; round++) {
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        embed_run("import json");
        for (int i = 0; i < SIZES; i++) {
            leaked[round][i] = PyBytes_FromStringAndSize(NULL, sizes[i]);
            EXPECT(leaked[round][i] != NULL);
            memset(PyBytes_AS_STRING(leaked[round][i]), 'a' + round,
                   (size_t)sizes[i]);
            Py_IncRef(leaked[round][i]);
            Py_DecRef(leaked[round][i]);
        }
        embed_return(&guest);
    }
    embed_run("x = [bytes(400) for i in range(100000)]"); // would overwrite
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SIZES; i++) {
            const char *text = PyBytes_AS_STRING(leaked[round][i]);
            EXPECT_EQ(PyBytes_GET_SIZE(leaked[round][i]), sizes[i]);
            EXPECT_EQ(text[0], 'a' + round);
            EXPECT_EQ(text[sizes[i] - 1], 'a' + round);
        }
    }
    uint64_t before = 0;
    if (!embed_is_vanilla()) {
        before = embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_OBJ].live_blocks;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SIZES; i++) {
            Py_DecRef(leaked[round][i]); // the last reference
        }
    }
    if (!embed_is_vanilla()) {
        pimalloc_usage after =
            embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_OBJ];
        // A one-byte bytes object may be a singleton that is not freed.
        EXPECT_GE(before - after.live_blocks, ROUNDS * (SIZES - 1));
        EXPECT_LE(before - after.live_blocks, ROUNDS * SIZES);
        embed_expect_sane(after);
    }
    embed_stop();
}

// --- who is current (fact 10) ----------------------------------------------

CASE(current_interpreter_changes_within_a_call)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *a = embed_new_interp(EMBED_OWN_GIL);
    int64_t id_a = embed_interp_id();
    PyThreadState_Swap(outer);
    PyThreadState *b = embed_new_interp(EMBED_OWN_GIL);
    int64_t id_b = embed_interp_id();
    pimalloc_snapshot main_0 = embed_stats(0);
    pimalloc_snapshot a_0 = embed_stats(id_a);
    pimalloc_snapshot b_0 = embed_stats(id_b);
    enum { BLOCKS = 3000 };
    static char *blocks[3][BLOCKS];
    PyThreadState *states[3] = {outer, a, b};
    for (int i = 0; i < BLOCKS; i++) {
        for (int k = 0; k < 3; k++) {
            PyThreadState_Swap(states[k]);
            blocks[k][i] = PyObject_Malloc(64);
            memset(blocks[k][i], 'a' + k, 64);
        }
    }
    uint64_t bytes = 64ull * BLOCKS;
    EXPECT_EQ(embed_stats(0).domain[PIMALLOC_OBJ].live_bytes -
                  main_0.domain[PIMALLOC_OBJ].live_bytes,
              bytes);
    EXPECT_EQ(embed_stats(id_a).domain[PIMALLOC_OBJ].live_bytes -
                  a_0.domain[PIMALLOC_OBJ].live_bytes,
              bytes);
    EXPECT_EQ(embed_stats(id_b).domain[PIMALLOC_OBJ].live_bytes -
                  b_0.domain[PIMALLOC_OBJ].live_bytes,
              bytes);
    // Freed by the next one each, and moved by the one after.
    for (int i = 0; i < BLOCKS; i++) {
        for (int k = 0; k < 3; k++) {
            char **block = &blocks[(k + 1) % 3][i];
            PyThreadState_Swap(states[k]);
            EXPECT_EQ((*block)[63], 'a' + (k + 1) % 3);
            *block = PyObject_Realloc(*block, 500);
            EXPECT_EQ((*block)[63], 'a' + (k + 1) % 3);
        }
    }
    for (int k = 0; k < 3; k++) {
        PyThreadState_Swap(states[k]);
        for (int i = 0; i < BLOCKS; i++) {
            PyObject_Free(blocks[(k + 2) % 3][i]);
        }
    }
    EXPECT_EQ(embed_stats(0).domain[PIMALLOC_OBJ].live_blocks,
              main_0.domain[PIMALLOC_OBJ].live_blocks);
    EXPECT_EQ(embed_stats(id_a).domain[PIMALLOC_OBJ].live_blocks,
              a_0.domain[PIMALLOC_OBJ].live_blocks);
    EXPECT_EQ(embed_stats(id_b).domain[PIMALLOC_OBJ].live_blocks,
              b_0.domain[PIMALLOC_OBJ].live_blocks);
    EXPECT_EQ(embed_stats(id_a).remote_frees - a_0.remote_frees, 2 * BLOCKS);
    PyThreadState_Swap(b);
    Py_EndInterpreter(b);
    PyThreadState_Swap(a);
    Py_EndInterpreter(a);
    PyThreadState_Swap(outer);
    embed_stop();
}

// --- hopping between threads -----------------------------------------------

typedef struct hop {
    PyInterpreterState *interp;
    void *blocks[1000];
    int round;
} hop;

static void *
hop_once(void *arg)
{
    hop *h = arg;
    PyThreadState *here = PyThreadState_New(h->interp);
    EXPECT(here != NULL);
    PyEval_RestoreThread(here);
    if (h->round != 0) {
        for (int i = 0; i < 1000; i++) {
            EXPECT_EQ(*(char *)h->blocks[i], (char)(h->round - 1));
            PyMem_Free(h->blocks[i]);
        }
    }
    for (int i = 0; i < 1000; i++) {
        h->blocks[i] = PyMem_Malloc((size_t)i + 1);
        *(char *)h->blocks[i] = (char)h->round;
    }
    embed_run("x = [str(i) for i in range(1000)]");
    h->round++;
    PyThreadState_Clear(here);
    PyThreadState_DeleteCurrent();
    return NULL;
}

CASE(interpreter_hops_between_threads)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    embed_run("import json");
    hop h = {.interp = sub->interp};
    PyThreadState_Swap(outer);
    PyEval_SaveThread();
    uint64_t remote = 0;
    if (!embed_is_vanilla()) {
        remote = embed_stats(id).remote_frees;
    }
    for (int i = 0; i < 30; i++) {
        embed_join(embed_thread(hop_once, &h));
    }
    if (!embed_is_vanilla()) {
        // It holds its GIL in every thread, so it owns its blocks in each; but for
        // the last piece of a thread's stack, which goes with the thread state.
        EXPECT_LE(embed_stats(id).remote_frees, remote + 30);
    }
    PyEval_RestoreThread(sub);
    for (int i = 0; i < 1000; i++) {
        PyMem_Free(h.blocks[i]);
    }
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    embed_stop();
}
