// purge_thread.c -- a thread that gives idle memory back
// (PIMALLOC_PURGE_THREAD=1).
//
// Slow paths of the heaps do that as long as there are any.  A server that
// waits for the next request has none.  Every PIM_PURGE_DELAY_MS the thread
// returns what was idle at its last turn too:
//
//   process: raw heap, retained abandoned arenas, kept maps, retained arenas, mimalloc
//   each interpreter: free units of its arenas                  with the gate closed
//
// Pages belong to the owner alone, who changes their lists outside the gate.
//
// The thread is not in a forked child, and ends before the process does.

#define _GNU_SOURCE

#include "api/purge_thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "abandoned/retained.h"
#include "arena/region.h"
#include "domain/raw_small.h"
#include "extent/mi_blocks.h"
#include "heap/purge.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/cancel.h"
#include "platform/os.h"
#include "platform/worker.h"

#define STACK_BYTES ((size_t)128 << 10)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // not across fork
static pthread_cond_t wake;
static bool stop; // under the lock
static pthread_t thread;
static _Atomic int runs_in; // the process that has the thread; 0: none

static void
purge_one(void *arg, pim_heap *heap)
{
    (void)arg;
    pim_heap_purge_from_outside(heap, false);
}

static void
purge_interpreters(void)
{
    if (pim_gate_close()) {
        pim_registry_each_heap(purge_one, NULL);
        pim_gate_open();
    }
}

static bool
is_due(const _Atomic uint64_t *until)
{
    uint64_t at = pim_load_relaxed(until);
    return at != 0 && pim_os->now_ms() >= at;
}

static void
purge_process(void)
{
    pim_gate_enter();
    pim_raw_small_tick();
    if (is_due(&pim_retained_until)) {
        pim_lock_acquire(&pim_process_lock);
        pim_retained_trim(false);
        pim_lock_release(&pim_process_lock);
    }
    if (is_due(&pim_extent_until)) {
        pim_extent_trim(false);
    }
    if (is_due(&pim_region_retained_until)) {
        pim_region_trim();
    }
    if (is_due(&pim_mi_until)) {
        pim_mi_purge();
    }
    pim_gate_exit();
}

// Returns whether to go on.
static bool
wait_for_turn(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)PIM_PURGE_DELAY_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    int err = 0;
    while (!stop && err != ETIMEDOUT) {
        err = pthread_cond_timedwait(&wake, &lock, &until);
    }
    bool go_on = !stop;
    pthread_mutex_unlock(&lock);
    return go_on;
}

static void *
run(void *arg)
{
    while (wait_for_turn()) {
        purge_interpreters();
        purge_process();
    }
    return arg;
}

static int
start_thread(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&lock, NULL); // a parent's thread may have held it
    stop = false;
    return pim_worker_start(&thread, "pimalloc-purge", STACK_BYTES, run);
}

int
pim_purge_start(void)
{
    int self = getpid();
    if (pim_load_relaxed(&runs_in) == self) {
        return 0;
    }
    int err = start_thread();
    if (err == 0) {
        pim_store_relaxed(&runs_in, self);
    }
    return err;
}

// Before functions and tables that it uses go.
__attribute__((destructor)) static void
process_ends(void)
{
    int runs = pim_load_relaxed(&runs_in);
    if (runs == 0 || runs != getpid()) {
        return; // strangers make no system call of ours
    }
    PIM_NO_CANCEL;
    pim_store_relaxed(&runs_in, 0);
    pthread_mutex_lock(&lock);
    stop = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
}
