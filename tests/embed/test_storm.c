// test_storm.c -- very many forks while other threads and interpreters allocate hard
// in all domains: no child hangs, and none dies.
//
//     STORM_FORKS=10000 embed_storm_py3.13.0 forks_of_c_code
//
// forks so often and prints what became of the children.  They are C code: what
// CPython itself does in the child of os.fork() with living interpreters fails
// without us, too.  os_forks_with_living_interpreters counts that, for comparison
// with EMBED_VANILLA=1 in the environment; it is no test unless STORM_FORKS is set.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <pimalloc/tenants.h>

#include "support/child.h"
#include "support/crowd.h"
#include "support/embed.h"
#include "support/patience.h"

#define FORKS 200

typedef struct outcome {
    int forks;
    int well;
    int hung;
    int died; // by another signal
    int failed;
} outcome;

static int
forks_wanted(void)
{
    const char *wanted = getenv("STORM_FORKS");
    if (wanted != NULL) {
        alarm(0); // by hand
    }
    return wanted != NULL ? atoi(wanted) : FORKS;
}

// By hand, all that were asked for.
static bool
is_over(int forks, const budget *time)
{
    if (getenv("STORM_FORKS") != NULL && forks % 500 == 0) {
        printf("%d forks\n", forks);
    }
    return getenv("STORM_FORKS") == NULL && !budget_is_left(time);
}

// --- what goes on meanwhile ------------------------------------------------

static size_t
size_of(uint32_t dice)
{
    return dice % 300 == 0  ? 1100000 + dice % 3000000
           : dice % 40 == 0 ? 20000 + dice % 400000
                            : 1 + dice % 900;
}

static void
churn(void *(*get)(size_t), void *(*change)(void *, size_t),
      void (*put)(void *), uint32_t *seed, int rounds)
{
    enum { HELD = 32 };
    char *held[HELD] = {NULL};
    for (int i = 0; i < rounds; i++) {
        uint32_t k = embed_random(seed) % HELD;
        size_t size = size_of(embed_random(seed));
        if (i % 3 == 0) {
            char *changed = change(held[k], size);
            EXPECT(changed != NULL);
            held[k] = changed;
        } else {
            put(held[k]);
            held[k] = get(size);
            EXPECT(held[k] != NULL);
        }
        held[k][0] = held[k][size - 1] = 's';
    }
    for (int k = 0; k < HELD; k++) {
        put(held[k]);
    }
}

static void *
busy_raw(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg + 1;
    crowd_is_at_work();
    while (!crowd_stops()) {
        churn(PyMem_RawMalloc, PyMem_RawRealloc, PyMem_RawFree, &seed, 100);
    }
    return NULL;
}

static void *
busy_process_heap(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg + 1;
    crowd_is_at_work();
    while (!crowd_stops()) {
        churn(PyMem_Malloc, PyMem_Realloc, PyMem_Free, &seed, 100);
        pimalloc_trim(PIMALLOC_EACH);
    }
    return NULL;
}

static void *
busy_interpreter(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg + 1;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    crowd_is_at_work();
    while (!crowd_stops()) {
        churn(PyMem_Malloc, PyMem_Realloc, PyMem_Free, &seed, 300);
        churn(PyObject_Malloc, PyObject_Realloc, PyObject_Free, &seed, 300);
        embed_run("x = [str(i) for i in range(300)]; del x");
    }
    embed_leave(&guest);
    return NULL;
}

static void *
interpreters_come_and_go(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg + 1;
    crowd_is_at_work();
    for (int i = 0; !crowd_stops(); i++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        if (!embed_is_vanilla() && PY_314_OR_NEWER) {
            EXPECT_EQ(pimalloc_policy_set(embed_interp_id(), 1 + i % 3), 0);
        }
        churn(PyMem_Malloc, PyMem_Realloc, PyMem_Free, &seed, 300);
        (void)PyMem_Malloc(100); // left
        (void)PyMem_Malloc(3000000);
        embed_leave(&guest);
    }
    return NULL;
}

// --- the children ----------------------------------------------------------

static void
be_child(bool has_tstate)
{
    uint32_t seed = 77;
    alarm(patience());
    churn(PyMem_RawMalloc, PyMem_RawRealloc, PyMem_RawFree, &seed, 200);
    churn(PyMem_Malloc, PyMem_Realloc, PyMem_Free, &seed, 200);
    if (has_tstate) {
        churn(PyObject_Malloc, PyObject_Realloc, PyObject_Free, &seed, 200);
    }
    if (seed % 4 == 0) {
        pimalloc_trim(PIMALLOC_EACH);
    }
    _exit(0);
}

static void
wait_for(pid_t child, outcome *o)
{
    int end = child_outcome(child);
    o->forks++;
    o->well += end == 0;
    o->failed += end > 0;
    o->hung += end == -SIGALRM;
    o->died += end < 0 && end != -SIGALRM;
}

static void
tell(const outcome *o)
{
    printf("%d forks: %d children well, %d hung, %d died, %d failed\n",
           o->forks, o->well, o->hung, o->died, o->failed);
}

static outcome
fork_often(int forks, bool has_tstate)
{
    outcome o = {0};
    uint32_t seed = 5;
    budget time = budget_open();
    for (int i = 0; i < forks && !is_over(i, &time); i++) {
        pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            be_child(has_tstate);
        }
        churn(PyMem_RawMalloc, PyMem_RawRealloc, PyMem_RawFree, &seed, 20);
        churn(PyMem_Malloc, PyMem_Realloc, PyMem_Free, &seed, 20);
        wait_for(child, &o);
    }
    return o;
}

static void
expect_well(const outcome *o)
{
    tell(o);
    EXPECT_EQ(o->well, o->forks);
}

// --- cases -----------------------------------------------------------------

static void
skip_if_vanilla(void)
{
    embed_skip_if_vanilla("mem without a thread state");
}

CASE(forks_of_c_code)
{
    skip_if_vanilla();
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(busy_interpreter, 2);
    crowd_add(interpreters_come_and_go, 1);
    crowd_add(busy_raw, 1);
    crowd_add(busy_process_heap, 1);
    crowd_wait();
    PyEval_RestoreThread(outer);
    outcome o = fork_often(forks_wanted() / 2, true);
    outer = PyEval_SaveThread();
    outcome without = fork_often(forks_wanted() / 2, false);
    crowd_stop();
    PyEval_RestoreThread(outer);
    expect_well(&o);
    expect_well(&without);
    embed_stop();
}

CASE_ENV_OF(forks_beside_the_purging_thread, forks_of_c_code(),
            "PIMALLOC_PURGE_THREAD=1")

static long long
os_fork(void)
{
    return embed_eval("__import__('os').fork()");
}

static void
be_python_child(void)
{
    alarm(patience());
    embed_run("x = [str(i) for i in range(5000)]\n"
              "import gc; gc.collect(); del x\n");
    _exit(0);
}

// The threads have no interpreters, so CPython's child can live.
CASE(os_forks_beside_threads)
{
    outcome o = {0};
    embed_start();
    embed_run("import warnings; warnings.simplefilter('ignore')");
    crowd_add(busy_raw, 2);
    budget time = budget_open();
    for (int i = 0; i < forks_wanted() / 2 && !is_over(i, &time); i++) {
        long long pid = os_fork();
        if (pid == 0) {
            be_python_child();
        }
        wait_for((pid_t)pid, &o);
    }
    crowd_stop();
    expect_well(&o);
    embed_stop();
}

CASE(os_forks_with_living_interpreters)
{
    outcome o = {0};
    if (getenv("STORM_FORKS") == NULL) {
        embed_skip("CPython's own children fail");
    }
    embed_start();
    embed_run("import warnings; warnings.simplefilter('ignore')");
    PyThreadState *outer = PyThreadState_Get();
    embed_new_interp(EMBED_OWN_GIL);
    embed_run("import json");
    PyThreadState_Swap(outer);
    for (int i = 0; i < forks_wanted(); i++) {
        long long pid = os_fork();
        if (pid == 0) {
            be_python_child();
        }
        wait_for((pid_t)pid, &o);
    }
    tell(&o);
    _exit(0);
}
