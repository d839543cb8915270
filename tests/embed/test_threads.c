// test_threads.c -- threads without a thread state, threads with the wrong one,
// and how the right one is found.
//
// Dangerous facts covered: 2, a foreign thread runs an
// interpreter's objects under main's thread state; 7, the raw table is swapped
// while threads use it; 10, raw is called without a thread state.

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support/crowd.h"
#include "support/embed.h"

static atomic_bool stop;

// --- raw without a thread state --------------------------------------------

#define MAILBOXES 64

typedef struct letter {
    size_t bytes;
    unsigned char mark;
} letter;

static _Atomic(letter *) mailboxes[MAILBOXES];

static void
letter_check(const letter *l)
{
    const unsigned char *text = (const unsigned char *)(l + 1);
    for (size_t i = 0; i < l->bytes; i += 1 + l->bytes / 8) {
        EXPECT_EQ(text[i], l->mark);
    }
}

static letter *
letter_new(uint32_t *seed)
{
    size_t bytes = embed_random(seed) % 16 == 0 ? embed_random(seed) % 200000
                                                : embed_random(seed) % 600;
    letter *l = embed_random(seed) % 2 == 0
                    ? PyMem_RawMalloc(sizeof(*l) + bytes)
                    : PyMem_RawCalloc(1, sizeof(*l) + bytes);
    EXPECT(l != NULL);
    l->bytes = bytes;
    l->mark = (unsigned char)embed_random(seed);
    memset(l + 1, l->mark, bytes);
    return l;
}

// Exchanges letters with the other threads: most are freed by someone else.
static void
exchange_letters(uint32_t *seed)
{
    letter *mine = letter_new(seed);
    letter *theirs =
        atomic_exchange(&mailboxes[embed_random(seed) % MAILBOXES], mine);
    if (theirs != NULL) {
        letter_check(theirs);
        if (embed_random(seed) % 4 == 0) {
            size_t keep = theirs->bytes / 2;
            theirs = PyMem_RawRealloc(theirs, sizeof(*theirs) + keep);
            theirs->bytes = keep;
            letter_check(theirs);
            theirs = PyMem_RawRealloc(theirs, sizeof(*theirs) + 3 * keep);
            letter_check(theirs);
        }
        PyMem_RawFree(theirs);
    }
}

static void
burn_letters(void)
{
    for (int i = 0; i < MAILBOXES; i++) {
        PyMem_RawFree(atomic_exchange(&mailboxes[i], NULL));
    }
}

static void *
exchange_until_stopped(void *arg)
{
    uint32_t seed = *(uint32_t *)arg;
    while (!atomic_load(&stop)) {
        exchange_letters(&seed);
    }
    return NULL;
}

static pthread_t spinners[2];
static uint32_t spinner_seeds[2] = {1, 2};

static void
start_spinners(void *(*run)(void *))
{
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++) {
        spinners[i] = embed_thread(run, &spinner_seeds[i]);
    }
}

static void
stop_spinners(void)
{
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        embed_join(spinners[i]);
    }
}

CASE(raw_without_thread_state_while_interpreters_come_and_go)
{
    embed_start();
    uint32_t seed = 3;
    start_spinners(exchange_until_stopped);
    for (int i = 0; i < 30; i++) {
        embed_guest guest =
            embed_visit(i % 3 == 0 ? EMBED_LEGACY : EMBED_OWN_GIL);
        for (int k = 0; k < 500; k++) {
            exchange_letters(&seed);
        }
        embed_return(&guest);
    }
    stop_spinners();
    burn_letters();
    embed_stop();
    if (!embed_is_vanilla()) {
        pimalloc_snapshot s = embed_stats(PIMALLOC_PROCESS);
        EXPECT_EQ(s.raw_is_libc, !PY_314_OR_NEWER || PY_IS_DEBUG);
        embed_expect_sane(s.domain[PIMALLOC_RAW]);
        if (!s.raw_is_libc) {
            EXPECT_LE(s.domain[PIMALLOC_RAW].live_blocks, 40);
        }
    }
}

// The main interpreter's start and end swap the raw table up to 3.13.  In debug
// builds the swap is between tables with different contexts, function and
// context are read apart, and CPython crashes on its own allocator, too.
CASE(raw_without_thread_state_while_runtimes_come_and_go)
{
    if (!PY_314_OR_NEWER && PY_IS_DEBUG) {
        embed_skip("this Python crashes at it on its own allocator, too");
    }
    embed_start();
    start_spinners(exchange_until_stopped);
    embed_run("import json");
    embed_stop();
    stop_spinners(); // the switch of tables itself cannot be survived
    for (int i = 0; i < 6; i++) {
        embed_preinit();
        embed_install();
        start_spinners(exchange_until_stopped);
        embed_init();
        embed_run("import json");
        embed_stop();
        stop_spinners();
    }
    burn_letters();
}

static void *
interpreter_with_letters(void *arg)
{
    uint32_t seed = *(uint32_t *)arg;
    for (int i = 0; i < 8; i++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        for (int k = 0; k < 3000; k++) {
            exchange_letters(&seed);
        }
        embed_leave(&guest);
    }
    return NULL;
}

CASE(raw_blocks_cross_interpreters)
{
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    start_spinners(interpreter_with_letters);
    for (uint32_t seed = 4; seed < 20000; seed++) {
        uint32_t copy = seed;
        exchange_letters(&copy);
    }
    stop_spinners();
    PyEval_RestoreThread(outer);
    burn_letters();
    embed_stop();
}

// --- mem and obj without a thread state ------------------------------------

// CPython never does this in release builds; we serve it from the process heap.
static void *
use_mem_without_thread_state(void *arg)
{
    uint32_t seed = *(uint32_t *)arg;
    char *blocks[100] = {NULL};
    for (int i = 0; i < 100000; i++) {
        uint32_t k = embed_random(&seed) % 100;
        if (blocks[k] != NULL) {
            EXPECT_EQ(blocks[k][0], (char)k);
        }
        PyMem_Free(blocks[k]);
        blocks[k] = PyObject_Realloc(PyMem_Malloc(embed_random(&seed) % 300),
                                     1 + embed_random(&seed) % 40000);
        EXPECT(blocks[k] != NULL);
        blocks[k][0] = (char)k;
    }
    for (int k = 0; k < 100; k++) {
        PyMem_Free(blocks[k]);
    }
    return NULL;
}

CASE(mem_without_thread_state_is_served)
{
    embed_skip_if_vanilla("CPython's own allocator is not meant for it");
    embed_start();
    pimalloc_snapshot before = embed_stats(PIMALLOC_PROCESS);
    start_spinners(use_mem_without_thread_state);
    embed_run("x = [str(i) for i in range(100000)]");
    stop_spinners();
    pimalloc_snapshot after = embed_stats(PIMALLOC_PROCESS);
    EXPECT_EQ(after.domain[PIMALLOC_MEM].live_blocks,
              before.domain[PIMALLOC_MEM].live_blocks);
    EXPECT_EQ(after.domain[PIMALLOC_MEM].live_bytes,
              before.domain[PIMALLOC_MEM].live_bytes);
    EXPECT_EQ(after.domain[PIMALLOC_OBJ].live_blocks,
              before.domain[PIMALLOC_OBJ].live_blocks);
    EXPECT_GE(after.domain[PIMALLOC_OBJ].peak_blocks, 90);
    embed_stop();
}

// A thread that had a heap a moment ago does not own it any more.
CASE(detached_thread_does_not_own_its_last_heap)
{
    embed_skip_if_vanilla("CPython's own allocator is not meant for it");
    embed_start();
    void *of_main = PyMem_Malloc(1000);
    pimalloc_snapshot main_before = embed_stats(0);
    pimalloc_snapshot process_before = embed_stats(PIMALLOC_PROCESS);
    PyThreadState *outer = PyEval_SaveThread();
    void *blocks[50];
    for (int i = 0; i < 50; i++) {
        blocks[i] = PyMem_Malloc(1000);
    }
    PyMem_Free(of_main);
    pimalloc_snapshot main_after = embed_stats(0);
    pimalloc_snapshot process_after = embed_stats(PIMALLOC_PROCESS);
    EXPECT_EQ(process_after.domain[PIMALLOC_MEM].live_blocks -
                  process_before.domain[PIMALLOC_MEM].live_blocks,
              50);
    EXPECT_EQ(main_before.domain[PIMALLOC_MEM].live_blocks -
                  main_after.domain[PIMALLOC_MEM].live_blocks,
              1);
    EXPECT_EQ(main_after.remote_frees - main_before.remote_frees, 1);
    PyEval_RestoreThread(outer);
    for (int i = 0; i < 50; i++) {
        PyMem_Free(blocks[i]);
    }
    EXPECT_EQ(embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_MEM].live_blocks,
              process_before.domain[PIMALLOC_MEM].live_blocks);
    embed_stop();
}

// --- callbacks from foreign threads (fact 2) -------------------------------

static int (*callback)(int);

static void *
call_back(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        EXPECT_EQ(callback(200), 200);
    }
    return NULL;
}

// PyGILState_Ensure() of a foreign thread attaches the main interpreter, so
// Python code of ours runs on main's heap and frees our blocks.
static void *
offer_callback(void *arg)
{
    (void)arg;
    for (int round = 0; round < 5; round++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        if (PyRun_SimpleString("import ctypes") != 0) {
            embed_skip("this Python was built without ctypes");
        }
        embed_run(
            "keep = []\n"
            "old = [str(i) for i in range(50 * 200)]\n"
            "def back(n):\n"
            "    global old\n"
            "    keep.append([{'k': str(i)} for i in range(n)])\n"
            "    del old[:n]\n"
            "    return len(keep[-1])\n"
            "made = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(back)\n");
        callback = (int (*)(int))(uintptr_t)embed_eval(
            "ctypes.cast(made, ctypes.c_void_p).value");
        int64_t id = embed_interp_id();
        PyThreadState *here = PyEval_SaveThread();
        embed_join(embed_thread(call_back, NULL));
        PyEval_RestoreThread(here);
        EXPECT_EQ(embed_eval("len(keep)"), 50);
        EXPECT_EQ(embed_eval("len(old)"), 0);
        if (!embed_is_vanilla()) {
            EXPECT_GT(embed_stats(id).remote_frees, 1000); // by main's thread
        }
        embed_run("del keep, old"); // blocks of main's heap
        embed_leave(&guest);
    }
    return NULL;
}

CASE(callback_from_a_foreign_thread)
{
    if (PY_312) {
        embed_skip("ctypes does not load in such an interpreter");
    }
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    embed_join(embed_thread(offer_callback, NULL));
    PyEval_RestoreThread(outer);
    if (!embed_is_vanilla()) {
        EXPECT_GT(embed_stats(0).remote_frees, 1000);
    }
    embed_stop();
}

// --- the thread state's word -----------------------------------------------

static void *
attach_and_detach(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        PyGILState_STATE state = PyGILState_Ensure();
        EXPECT_EQ(embed_interp_id(), 0);
        void *block = PyMem_Malloc(64);
        PyThreadState *saved = PyEval_SaveThread();
        PyMem_RawFree(PyMem_RawMalloc(64)); // bound, but not attached
        PyEval_RestoreThread(saved);
        PyMem_Free(block);
        PyGILState_Release(state);
        PyMem_RawFree(PyMem_RawMalloc(64));
    }
    return NULL;
}

static void *
guest_in_many_interpreters(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        embed_guest guest;
        embed_enter(&guest, i % 2 == 0 ? EMBED_OWN_GIL : EMBED_SHARED_GIL);
        int64_t id = embed_interp_id();
        pimalloc_snapshot before = embed_stats(id);
        void *block = PyMem_Malloc(500);
        PyThreadState_Swap(guest.outer); // main's, in the same thread
        void *of_main = PyMem_Malloc(500);
        PyThreadState_Swap(guest.sub);
        pimalloc_snapshot after = embed_stats(id);
        EXPECT_EQ(after.domain[PIMALLOC_MEM].live_bytes -
                      before.domain[PIMALLOC_MEM].live_bytes,
                  512);
        EXPECT_EQ(after.remote_frees, before.remote_frees);
        PyMem_Free(block);
        PyMem_Free(of_main);
        EXPECT_EQ(embed_stats(id).remote_frees, before.remote_frees);
        embed_run("import json");
        embed_leave(&guest);
    }
    return NULL;
}

static void
thread_states_of_all_sorts(const char *described)
{
    embed_start();
    embed_run("import threading\n"
              "def work():\n"
              "    x = [str(i) for i in range(1000)]\n"
              "for i in range(20):\n"
              "    t = threading.Thread(target=work); t.start(); t.join()\n");
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        threads[i] = embed_thread(
            i % 2 == 0 ? attach_and_detach : guest_in_many_interpreters, NULL);
    }
    for (int i = 0; i < 4; i++) {
        embed_join(threads[i]);
    }
    PyEval_RestoreThread(outer);
    char *text = embed_stats_text();
    EXPECT_HAS(text, described);
    free(text);
    embed_stop();
}

CASE_OF(thread_state_is_read_from_its_word,
        thread_states_of_all_sorts("thread state: one word"))

CASE_ENV_OF(thread_state_is_asked_for,
            thread_states_of_all_sorts("PIMALLOC_TSTATE=call"),
            "PIMALLOC_TSTATE=call")

// More threads than records, one after the other and at once.
static void *
short_life(void *arg)
{
    (void)arg;
    PyGILState_STATE state = PyGILState_Ensure();
    PyMem_Free(PyMem_Malloc(40000));
    PyGILState_Release(state);
    PyMem_RawFree(PyMem_RawMalloc(10));
    return NULL;
}

CASE(many_threads)
{
    embed_start();
    for (int round = 0; round < 5; round++) {
        crowd_run(short_life, 150);
    }
    embed_stop();
}
