// test_fork.c -- fork() while other threads allocate: the child can allocate and
// free in every domain, and waits for nobody who is gone.
//
// CPython's own os.fork() fails in the child while interpreters other than main
// are alive (docs/embedding.md, "Fork"), so with those the child is C code here.

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/child.h"
#include "support/crowd.h"
#include "support/embed.h"
#include "support/patience.h"

// Blocks of the parent, of all owners and domains, for the child to free.
#define INHERITED 64
static void *inherited[INHERITED];
static atomic_int inherited_count;

// --- in the child ----------------------------------------------------------

static void *
use_raw(void *arg)
{
    (void)arg;
    static const size_t sizes[] = {0, 1, 100, 600, 5000, 70000, 3000000};
    for (int round = 0; round < 20; round++) {
        char *blocks[7];
        for (int i = 0; i < 7; i++) {
            blocks[i] = i % 2 == 0 ? PyMem_RawMalloc(sizes[i])
                                   : PyMem_RawCalloc(1, sizes[i]);
            EXPECT(blocks[i] != NULL);
            blocks[i] = PyMem_RawRealloc(blocks[i], 2 * sizes[i] + 1);
            blocks[i][2 * sizes[i]] = 'r';
        }
        for (int i = 0; i < 7; i++) {
            EXPECT_EQ(blocks[i][2 * sizes[i]], 'r');
            PyMem_RawFree(blocks[i]);
        }
    }
    return NULL;
}

static void
use_mem_and_obj(void)
{
    uint32_t seed = 1;
    char *blocks[200] = {NULL};
    for (int i = 0; i < 3000; i++) {
        uint32_t k = embed_random(&seed) % 200;
        size_t size =
            1 + (embed_random(&seed) % 50 == 0 ? embed_random(&seed) % 500000
                                               : embed_random(&seed) % 2000);
        if (k % 2 == 0) {
            PyMem_Free(blocks[k]);
            blocks[k] = PyMem_Realloc(PyMem_Malloc(size / 2), size);
        } else {
            PyObject_Free(blocks[k]);
            blocks[k] = PyObject_Realloc(PyObject_Calloc(1, size / 2), size);
        }
        EXPECT(blocks[k] != NULL);
        memset(blocks[k], (int)k, size);
    }
    for (int k = 0; k < 200; k++) {
        k % 2 == 0 ? PyMem_Free(blocks[k]) : PyObject_Free(blocks[k]);
    }
    void *mapped = PyMem_Malloc((size_t)40 << 20);
    EXPECT(mapped != NULL);
    PyMem_Free(mapped);
}

static void
look_around(void)
{
    int64_t ids[100];
    size_t n = pimalloc_interpreters(ids, 100);
    for (size_t i = 0; i < n && i < 100; i++) {
        pimalloc_snapshot s = {.size = sizeof(s)};
        pimalloc_stats(ids[i], &s);
    }
    free(embed_stats_text());
}

static void
child_uses_everything(void)
{
    alarm(patience());
    use_raw(NULL);
    use_mem_and_obj();
    int n = atomic_load(&inherited_count);
    for (int i = 0; i < n && i < INHERITED; i++) {
        if (i % 4 == 0) {
            inherited[i] = PyMem_Realloc(inherited[i], 1000);
        }
        PyMem_Free(inherited[i]);
    }
    atomic_store(&inherited_count, 0); // the child's child must not
    look_around();
    embed_join(embed_thread(use_raw, NULL));
    use_mem_and_obj();
}

// --- in the parent ---------------------------------------------------------

static void
wait_for(pid_t child, int round)
{
    int outcome = child_outcome(child);
    if (outcome < 0) {
        FAIL("the child of round %d to live: %s", round,
             outcome == -SIGALRM ? "it hung" : strsignal(-outcome));
    }
    EXPECT_EQ(outcome, 0);
}

static void
fork_rounds(int rounds)
{
    budget time = budget_open();
    for (int i = 0; i < rounds && budget_is_left(&time); i++) {
        pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            child_uses_everything();
            if (i % 8 == 1) { // the child's child
                pid_t grandchild = fork();
                if (grandchild == 0) {
                    child_uses_everything();
                    _exit(0);
                }
                wait_for(grandchild, i);
            }
            if (i % 2 == 0) {
                exit(0); // with the exit handlers
            }
            _exit(0);
        }
        wait_for(child, i);
    }
}

// Everything Python does, in an own-GIL interpreter, until told to stop.
static void *
busy_interpreter(void *arg)
{
    (void)arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    embed_run("import json");
    for (int i = 0; i < 8; i++) {
        int k = atomic_fetch_add(&inherited_count, 1);
        if (k < INHERITED) {
            inherited[k] = PyMem_Malloc(i % 2 == 0 ? 100 : 50000);
        }
    }
    crowd_is_at_work();
    while (!crowd_stops()) {
        embed_run("x = json.loads(json.dumps([str(i) for i in range(300)]))\n"
                  "y = [bytes(n * 100) for n in range(400)]\n"
                  "z = bytearray()\n"
                  "for n in range(40): z += bytes(20000)\n"
                  "del x, y, z\n");
    }
    embed_leave(&guest);
    return NULL;
}

static void *
busy_raw(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg + 7;
    void *blocks[64] = {NULL};
    crowd_is_at_work();
    while (!crowd_stops()) {
        uint32_t k = embed_random(&seed) % 64;
        PyMem_RawFree(blocks[k]);
        blocks[k] = PyMem_RawMalloc(embed_random(&seed) % 64 == 0
                                        ? embed_random(&seed) % 300000
                                        : embed_random(&seed) % 700);
    }
    for (int k = 0; k < 64; k++) {
        PyMem_RawFree(blocks[k]);
    }
    return NULL;
}

// mem without a thread state: the process heap and its lock.
static void *
busy_process_heap(void *arg)
{
    (void)arg;
    uint32_t seed = 9;
    crowd_is_at_work();
    while (!crowd_stops()) {
        void *block = PyMem_Malloc(embed_random(&seed) % 60000);
        PyMem_Free(block);
    }
    return NULL;
}

static void *
interpreters_come_and_go(void *arg)
{
    (void)arg;
    crowd_is_at_work();
    while (!crowd_stops()) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        embed_run("x = [str(i) for i in range(2000)]");
        (void)PyMem_Malloc(100); // leaked: kept by the process heap
        embed_leave(&guest);
    }
    return NULL;
}

// Has another thread fork beside the crowd, and ends all.
static void
fork_beside_crowd(PyThreadState *outer, void *(*forker)(void *))
{
    crowd_wait();
    embed_join(embed_thread(forker, NULL));
    crowd_stop();
    PyEval_RestoreThread(outer);
    embed_stop();
}

static void
skip_if_vanilla(void)
{
    embed_skip_if_vanilla("mem without a thread state, freed by others");
}

CASE(from_the_main_thread)
{
    skip_if_vanilla();
    embed_start();
    for (int i = 0; i < 8; i++) {
        inherited[atomic_fetch_add(&inherited_count, 1)] = PyMem_Malloc(300);
    }
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(busy_interpreter, 2);
    crowd_add(busy_raw, 1);
    crowd_add(busy_process_heap, 1);
    crowd_wait();
    PyEval_RestoreThread(outer);
    fork_rounds(16);
    outer = PyEval_SaveThread();
    crowd_stop();
    PyEval_RestoreThread(outer);
    embed_stop();
}

static void *
fork_without_thread_state(void *arg)
{
    (void)arg;
    fork_rounds(16);
    return NULL;
}

CASE(from_a_thread_without_thread_state)
{
    skip_if_vanilla();
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(busy_interpreter, 2);
    crowd_add(busy_raw, 1);
    crowd_add(busy_process_heap, 1);
    fork_beside_crowd(outer, fork_without_thread_state);
}

static void *
fork_in_an_interpreter(void *arg)
{
    (void)arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    embed_run("import json");
    fork_rounds(12);
    embed_leave(&guest);
    return NULL;
}

CASE(from_an_own_gil_interpreter)
{
    skip_if_vanilla();
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(busy_interpreter, 2);
    crowd_add(busy_process_heap, 1);
    fork_beside_crowd(outer, fork_in_an_interpreter);
}

// Births, retirements, and their locks and waits.
CASE(while_interpreters_come_and_go)
{
    skip_if_vanilla();
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(interpreters_come_and_go, 2);
    crowd_add(busy_process_heap, 1);
    fork_beside_crowd(outer, fork_without_thread_state);
}

// Several threads fork at once.
CASE(from_several_threads_at_once)
{
    skip_if_vanilla();
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(busy_interpreter, 1);
    crowd_wait();
    pthread_t forkers[3];
    for (int i = 0; i < 3; i++) {
        forkers[i] = embed_thread(fork_without_thread_state, NULL);
    }
    for (int i = 0; i < 3; i++) {
        embed_join(forkers[i]);
    }
    crowd_stop();
    PyEval_RestoreThread(outer);
    embed_stop();
}

// --- from Python -----------------------------------------------------------

#define FORK_CODE                                                              \
    "import os, json, signal\n"                                                \
    "def child():\n"                                                           \
    "    signal.alarm(300)\n"                                                  \
    "    x = [str(i) for i in range(20000)]\n"                                 \
    "    assert json.loads(json.dumps(x)) == x\n"                              \
    "    b = bytearray()\n"                                                    \
    "    for i in range(100): b += bytes(10000)\n"                             \
    "    import gc; gc.collect()\n"                                            \
    "    kept.clear()\n"                                                       \
    "kept = [str(i) for i in range(10000)]\n"                                  \
    "for i in range(25):\n"                                                    \
    "    pid = os.fork()\n"                                                    \
    "    if pid == 0:\n"                                                       \
    "        try: child()\n"                                                   \
    "        except BaseException: os._exit(1)\n"                              \
    "        os._exit(0)\n"                                                    \
    "    status = os.waitpid(pid, 0)[1]\n"                                     \
    "    assert status == 0, status\n"

CASE(os_fork_beside_raw_threads)
{
    embed_start();
    crowd_add(busy_raw, 2);
    crowd_wait();
    embed_run("import warnings; warnings.simplefilter('ignore')\n" FORK_CODE);
    crowd_stop();
    embed_stop();
}

CASE(os_fork_after_interpreters_ended)
{
    embed_start();
    for (int i = 0; i < 5; i++) {
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        embed_run("import json; x = [str(i) for i in range(10000)]");
        (void)PyMem_Malloc(1000);
        embed_return(&guest);
    }
    embed_run(FORK_CODE);
    embed_stop();
}

// The child of os.fork() creates and ends interpreters, and finalizes.
CASE(os_fork_child_runs_interpreters)
{
    embed_start();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_run("import json");
    embed_return(&guest);
    for (int i = 0; i < 5; i++) {
        long long pid = embed_eval("__import__('os').fork()");
        if (pid == 0) {
            alarm(patience());
            guest.sub = embed_new_interp(EMBED_OWN_GIL);
            embed_run("import json, re");
            if (!embed_is_vanilla()) {
                EXPECT_EQ(embed_stats(2).state, PIMALLOC_ALIVE);
            }
            embed_return(&guest);
            embed_stop();
            exit(0);
        }
        wait_for((pid_t)pid, i);
    }
    embed_stop();
}

CASE(subprocesses_start_beside_interpreters)
{
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(busy_interpreter, 2);
    crowd_wait();
    PyEval_RestoreThread(outer);
    embed_run(
        "import os, subprocess\n"
        "for i in range(15):\n"
        "    assert subprocess.run(['/bin/true']).returncode == 0\n"
        "    p = subprocess.run(['/bin/echo', 'x'], capture_output=True,\n"
        "                       preexec_fn=None, close_fds=False)\n"
        "    assert p.stdout == b'x\\n'\n"
        "    pid = os.posix_spawn('/bin/true', ['true'], os.environ)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n");
    outer = PyEval_SaveThread();
    crowd_stop();
    PyEval_RestoreThread(outer);
    embed_stop();
}
