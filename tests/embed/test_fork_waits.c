// test_fork_waits.c -- fork() when others' handlers wait for threads in the allocator,
// and by threads that are to be cancelled.

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "support/crowd.h"
#include "support/embed.h"
#include "support/patience.h"

// --- a handler that is older than the library's --------------------------------

static pthread_mutex_t theirs = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool want_lock;
static atomic_bool stop;
static atomic_ulong rounds;

static void
prepare(void)
{
    if (atomic_load(&want_lock)) {
        pthread_mutex_lock(&theirs);
    }
}

static void
after(void)
{
    if (atomic_load(&want_lock)) {
        pthread_mutex_unlock(&theirs);
    }
}

static void
register_handlers(void)
{
    pthread_atfork(prepare, after, after);
}

// What a program does before all its libraries.
__attribute__((section(".preinit_array"),
               used)) static void (*const first)(void) = register_handlers;

// --- the child -------------------------------------------------------------------

static void
use_all_domains(void)
{
    for (size_t size = 1; size < (size_t)4 << 20; size = size * 3 + 1) {
        char *raw = PyMem_RawMalloc(size);
        char *mem = PyMem_Calloc(1, size);
        char *obj = PyObject_Malloc(size);
        EXPECT(raw != NULL && mem != NULL && obj != NULL);
        raw[size - 1] = obj[size - 1] = 'x';
        EXPECT_EQ(mem[size - 1], 0);
        obj = PyObject_Realloc(obj, 2 * size);
        EXPECT_EQ(obj[size - 1], 'x');
        PyMem_RawFree(PyMem_RawRealloc(raw, 2 * size));
        PyMem_Free(mem);
        PyObject_Free(obj);
    }
}

static void
fork_once(const char *what)
{
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        alarm(patience());
        use_all_domains();
        _exit(0);
    }
    int outcome = child_outcome(child);
    if (outcome != 0) {
        FAIL("the child of %s to live, got status %d", what, outcome);
    }
}

// A queue with a lock, whose items come from the raw domain.
static void *
use_queue(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        void *blocks[64];
        pthread_mutex_lock(&theirs);
        for (size_t i = 0; i < 64; i++) {
            blocks[i] = PyMem_RawMalloc(5000 + i * 900);
        }
        for (size_t i = 0; i < 64; i++) {
            PyMem_RawFree(blocks[i]);
        }
        pthread_mutex_unlock(&theirs);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

static void *
use_interpreters(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        embed_guest guest;
        pthread_mutex_lock(&theirs);
        embed_enter(&guest, EMBED_OWN_GIL);
        embed_run("x = [str(i) for i in range(3000)]");
        embed_leave(&guest);
        pthread_mutex_unlock(&theirs);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

static void
fork_beside(void *(*work)(void *), int forks)
{
    embed_start();
    atomic_store(&want_lock, true);
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t thread = embed_thread(work, NULL);
    while (atomic_load(&rounds) == 0) {
        embed_sleep_ms(1);
    }
    PyEval_RestoreThread(outer);
    for (int i = 0; i < forks; i++) {
        unsigned long before = atomic_load(&rounds);
        fork_once("a fork whose handler waits");
        outer = PyEval_SaveThread();
        while (atomic_load(&rounds) == before) {
            embed_sleep_ms(1);
        }
        PyEval_RestoreThread(outer);
    }
    outer = PyEval_SaveThread();
    atomic_store(&stop, true);
    embed_join(thread);
    PyEval_RestoreThread(outer);
    embed_stop();
}

CASE_OF(thread_with_a_lock_that_a_handler_wants_goes_on,
        fork_beside(use_queue, 60))

static void *
fork_without_a_gil(void *arg)
{
    for (int i = 0; i < 30; i++) {
        unsigned long before = atomic_load(&rounds);
        fork_once("a fork beside interpreters");
        while (atomic_load(&rounds) == before) {
            embed_sleep_ms(1);
        }
    }
    return arg;
}

CASE(interpreters_that_a_handler_waits_for_begin_and_end)
{
    embed_start();
    atomic_store(&want_lock, true);
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t thread = embed_thread(use_interpreters, NULL);
    while (atomic_load(&rounds) == 0) {
        embed_sleep_ms(1);
    }
    embed_join(embed_thread(fork_without_a_gil, NULL));
    atomic_store(&stop, true);
    embed_join(thread);
    PyEval_RestoreThread(outer);
    embed_stop();
}

// --- cancellation ------------------------------------------------------------------

static void *
keep_inside(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        size_t large = (size_t)60 << 20;
        char *block = PyMem_RawMalloc(large);
        if (block != NULL) {
            memset(block, 1, large);
        }
        PyMem_RawFree(block);
        for (size_t n = 4096; n < (size_t)9 << 20; n *= 2) {
            PyMem_RawFree(PyMem_RawCalloc(1, n));
        }
    }
    return NULL;
}

static void
ask_to_cancel(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self()); // pending from here on
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

static void *
fork_as_cancelled(void *arg)
{
    ask_to_cancel();
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    waitpid(child, NULL, 0);
    return arg;
}

static void
expect_not_cancelled(void *(*work)(void *))
{
    static int mark;
    void *result = NULL;
    pthread_t thread = embed_thread(work, &mark);
    EXPECT_EQ(pthread_join(thread, &result), 0);
    if (result != &mark) {
        FAIL("the thread not to be cancelled");
    }
}

CASE(fork_is_no_cancellation_point)
{
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(keep_inside, 3);
    for (int i = 0; i < 40; i++) {
        expect_not_cancelled(fork_as_cancelled);
    }
    atomic_store(&stop, true);
    crowd_join();
    PyEval_RestoreThread(outer);
    embed_stop();
}

static PyThreadState *of_thread;

static void *
allocate_as_cancelled(void *arg)
{
    PyEval_RestoreThread(of_thread);
    ask_to_cancel();
    for (size_t n = 1; n < (size_t)9 << 20; n *= 2) {
        PyMem_RawFree(PyMem_RawRealloc(PyMem_RawMalloc(n), 2 * n));
        PyMem_Free(PyMem_Realloc(PyMem_Malloc(n), 2 * n));
        PyObject_Free(PyObject_Calloc(1, n));
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    PyThreadState_Clear(of_thread);
    PyThreadState_DeleteCurrent();
    return arg;
}

CASE(memory_is_no_cancellation_point)
{
    embed_start();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    of_thread = PyThreadState_New(PyInterpreterState_Get());
    PyEval_SaveThread();
    expect_not_cancelled(allocate_as_cancelled);
    PyEval_RestoreThread(guest.sub);
    embed_return(&guest);
    embed_stop();
}
