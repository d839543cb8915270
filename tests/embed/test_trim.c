// test_trim.c -- idle memory goes back: when somebody asks, and when nobody allocates.

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pimalloc/tenants.h>

#include "support/child.h"
#include "support/embed.h"
#include "support/patience.h"

#define SPAN_BYTES 300000
#define SPANS 20

// Memory that the current interpreter then holds and does not use.
static void
leave_idle_memory(void)
{
    void *spans[SPANS];
    for (int i = 0; i < SPANS; i++) {
        spans[i] = PyMem_Malloc(SPAN_BYTES);
        EXPECT(spans[i] != NULL);
        memset(spans[i], 1, SPAN_BYTES);
    }
    for (int i = 0; i < SPANS; i++) {
        PyMem_Free(spans[i]);
    }
}

static uint64_t
committed(int64_t interp)
{
    return embed_stats(interp).committed_bytes;
}

static void
start(void)
{
    embed_start();
    embed_skip_if_vanilla("memory is ours to give");
}

CASE(own_memory_goes_at_once)
{
    EXPECT_EQ(pimalloc_trim(0), 0); // nothing was installed
    start();
    leave_idle_memory();
    uint64_t before = committed(0);
    EXPECT_GE(pimalloc_trim(0), 3 << 20);
    EXPECT_LE(committed(0), before - (3 << 20));
    EXPECT_LE(pimalloc_trim(0), 1 << 20);
    leave_idle_memory();
    EXPECT_GE(pimalloc_trim(PIMALLOC_EACH), 3 << 20);
    leave_idle_memory();
    before = committed(0);
    pimalloc_trim(PIMALLOC_PROCESS);
    pimalloc_trim(12345);
    EXPECT_EQ(committed(0), before); // others were meant
    embed_stop();
}

// --- another interpreter's -------------------------------------------------

static atomic_int phase; // 1: it waits, 2: it is to go on
static int64_t waiting_id;
static uint64_t waiting_used; // committed before it had idle memory

static void *
be_idle(void *arg)
{
    (void)arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    waiting_id = embed_interp_id();
    embed_run("import json");
    waiting_used = committed(waiting_id);
    leave_idle_memory();
    atomic_store(&phase, 1);
    while (atomic_load(&phase) != 2) {
        embed_sleep_ms(1); // with its GIL
    }
    embed_run("x = [bytes(i * 100) for i in range(500)]");
    embed_leave(&guest);
    return NULL;
}

static pthread_t idle;

static PyThreadState *
start_beside_idle(void)
{
    start();
    PyThreadState *outer = PyEval_SaveThread();
    idle = embed_thread(be_idle, NULL);
    while (atomic_load(&phase) != 1) {
        embed_sleep_ms(1);
    }
    return outer;
}

static void
stop_beside_idle(PyThreadState *outer)
{
    atomic_store(&phase, 2);
    embed_join(idle);
    PyEval_RestoreThread(outer);
    embed_stop();
}

CASE(anothers_memory_goes_while_it_waits)
{
    PyThreadState *outer = start_beside_idle();
    uint64_t before = committed(waiting_id);
    EXPECT_GE(pimalloc_trim(waiting_id), 3 << 20);
    EXPECT_LE(committed(waiting_id), before - (3 << 20));
    stop_beside_idle(outer);
}

static atomic_bool stop;

static void *
be_busy(void *arg)
{
    (void)arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    while (!atomic_load(&stop)) {
        embed_run("x = [bytes(i * 300) for i in range(700)]\n"
                  "y = [str(i) for i in range(5000)]\n"
                  "assert sum(map(len, x)) == 300 * 699 * 350\n"
                  "del x, y\n");
    }
    embed_leave(&guest);
    return NULL;
}

CASE(busy_interpreters_do_not_mind)
{
    pthread_t busy[2];
    start();
    PyThreadState *outer = PyEval_SaveThread();
    for (int i = 0; i < 2; i++) {
        busy[i] = embed_thread(be_busy, NULL);
    }
    budget time = budget_open();
    for (int i = 0; i < 300 && budget_is_left(&time); i++) {
        pimalloc_trim(PIMALLOC_EACH);
        embed_sleep_ms(1);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        embed_join(busy[i]);
    }
    PyEval_RestoreThread(outer);
    embed_stop();
}

// --- the thread ------------------------------------------------------------

// Whether this process has the thread; then the signals that it blocks.
static bool
find_purging_thread(unsigned long long *blocked)
{
    char line[200];
    bool found = false;
    DIR *tasks = opendir("/proc/self/task");
    EXPECT(tasks != NULL);
    const struct dirent *task;
    while (!found && (task = readdir(tasks)) != NULL) {
        char path[400];
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
        FILE *status = task->d_name[0] != '.' ? fopen(path, "r") : NULL;
        while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
            found |= strcmp(line, "Name:\tpimalloc-purge\n") == 0;
            if (found) {
                sscanf(line, "SigBlk: %llx", blocked);
            }
        }
        if (status != NULL) {
            fclose(status);
        }
    }
    closedir(tasks);
    return found;
}

CASE_ENV(memory_goes_though_nobody_allocates, "PIMALLOC_PURGE_THREAD=1")
{
    PyThreadState *outer = start_beside_idle();
    // Half of it at least, after two turns or more; it may be gone already.
    while (committed(waiting_id) > waiting_used + SPANS * SPAN_BYTES / 2) {
        embed_sleep_ms(10);
    }
    stop_beside_idle(outer);
}

CASE_ENV(thread_blocks_signals_and_is_in_no_child, "PIMALLOC_PURGE_THREAD=1")
{
    unsigned long long blocked = 0;
    start();
    while (!find_purging_thread(&blocked)) { // it names itself
        embed_sleep_ms(1);
    }
    EXPECT_EQ(blocked & 0x7fffffff & ~(1ull << 8) & ~(1ull << 18),
              0x7fffffff & ~(1ull << 8) & ~(1ull << 18)); // not KILL and STOP
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        exit(find_purging_thread(&blocked) ? 1 : 0); // with the destructors
    }
    EXPECT_EQ(child_outcome(child), 0);
    embed_stop();
}

CASE(no_thread_unless_asked_for)
{
    unsigned long long blocked;
    start();
    EXPECT(!find_purging_thread(&blocked));
    embed_stop();
}
