// test_words.c -- each thread reads its own word, and is counted.
//
// Runs on a libpython that was there at the start and, with late/host.c, on one that
// was loaded late, whose thread-local data lies elsewhere in each thread.  Builds
// with assertions compare each word read with what CPython says.

#define _GNU_SOURCE

#include <link.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "support/embed.h"
#include "support/patience.h"

#define TEAM 8

// --- counts ----------------------------------------------------------------

typedef struct counts {
    int by_word;
    int by_call;
} counts;

static counts
count_threads(void)
{
    static const char member[] = "\"threads\": {\"word\": ";
    char text[4096] = "";
    counts count = {-1, -1};
    int file = memfd_create("statistics", MFD_CLOEXEC);
    EXPECT_EQ(pimalloc_stats_write(file, PIMALLOC_JSON), 0);
    EXPECT_GT(pread(file, text, sizeof(text) - 1, 0), 0);
    close(file);
    const char *at = strstr(text, member);
    EXPECT(at != NULL && sscanf(at + strlen(member), "%d, \"call\": %d",
                                &count.by_word, &count.by_call) == 2);
    return count;
}

static void
expect_readers(int n)
{
    counts count = count_threads();
    EXPECT_EQ(count.by_call, 0);
    EXPECT_EQ(count.by_word, n);
}

// --- a team that does its work and stays -----------------------------------

typedef struct team {
    void (*work)(void);
    pthread_barrier_t worked;
    pthread_barrier_t counted;
    pthread_t threads[TEAM];
} team;

static void *
be_in_team(void *arg)
{
    team *t = arg;
    t->work();
    pthread_barrier_wait(&t->worked);
    pthread_barrier_wait(&t->counted);
    t->work();
    return NULL;
}

static void
team_start(team *t, void (*work)(void))
{
    t->work = work;
    pthread_barrier_init(&t->worked, NULL, TEAM + 1);
    pthread_barrier_init(&t->counted, NULL, TEAM + 1);
    for (int i = 0; i < TEAM; i++) {
        t->threads[i] = embed_thread(be_in_team, t);
    }
    pthread_barrier_wait(&t->worked);
}

static void
team_end(team *t)
{
    pthread_barrier_wait(&t->counted);
    for (int i = 0; i < TEAM; i++) {
        embed_join(t->threads[i]);
    }
}

// --- what threads do -------------------------------------------------------

static void
attach_and_detach(void)
{
    for (int i = 0; i < 20; i++) {
        PyGILState_STATE state = PyGILState_Ensure();
        embed_run("x = [[i] for i in range(1000)]");
        void *block = PyMem_Malloc(64);
        PyThreadState *saved = PyEval_SaveThread();
        PyMem_RawFree(PyMem_RawMalloc(64)); // bound, but not attached
        PyEval_RestoreThread(saved);
        PyMem_Free(block);
        PyGILState_Release(state);
        PyMem_RawFree(PyMem_RawMalloc(64));
    }
}

static void
never_attach(void)
{
    for (int i = 0; i < 100; i++) {
        PyMem_RawFree(PyMem_RawMalloc(64));
    }
}

static void
raw_first_and_attach_later(void)
{
    never_attach();
    attach_and_detach();
}

// Two interpreters and two thread states in one thread, one after the other.
static void
run_interpreters(void)
{
    for (int i = 0; i < 2; i++) {
        embed_guest guest;
        embed_enter(&guest, i == 0 ? EMBED_OWN_GIL : EMBED_SHARED_GIL);
        embed_run("x = [[i] for i in range(1000)]");
        PyThreadState_Swap(guest.outer);
        PyMem_Free(PyMem_Malloc(500));
        PyThreadState_Swap(guest.sub);
        embed_leave(&guest);
    }
}

// --- cases -----------------------------------------------------------------

static PyThreadState *
start(void)
{
    embed_skip_if_vanilla("words are ours alone");
    embed_start();
    return PyEval_SaveThread();
}

static void
stop(PyThreadState *outer)
{
    PyEval_RestoreThread(outer);
    embed_stop();
}

static void
expect_each_reads(void (*work)(void))
{
    team t;
    PyThreadState *outer = start();
    expect_readers(1);
    team_start(&t, work);
    expect_readers(1 + TEAM);
    team_end(&t);
    expect_readers(1);
    stop(outer);
}

CASE_OF(each_thread_reads_its_own_word, expect_each_reads(attach_and_detach))
CASE_OF(thread_that_never_attaches_reads_its_own_word,
        expect_each_reads(never_attach))
CASE_OF(thread_that_attaches_late_reads_its_own_word,
        expect_each_reads(raw_first_and_attach_later))
CASE_OF(thread_of_several_interpreters_reads_its_own_word,
        expect_each_reads(run_interpreters))

CASE(threads_of_python_read_their_own_words)
{
    PyThreadState *outer = start();
    PyEval_RestoreThread(outer);
    embed_run("import threading\n"
              "worked, counted = threading.Barrier(9), threading.Barrier(9)\n"
              "def work():\n"
              "    x = [[i] for i in range(1000)]\n"
              "    worked.wait(); counted.wait()\n"
              "threads = [threading.Thread(target=work) for _ in range(8)]\n"
              "for t in threads: t.start()\n"
              "worked.wait()\n");
    expect_readers(1 + 8);
    embed_run("counted.wait()\n"
              "for t in threads: t.join()\n");
    embed_stop();
}

// A runtime ends and another one begins while the threads live on.
CASE(threads_go_on_in_the_next_runtime)
{
    team t;
    PyThreadState *outer = start();
    team_start(&t, attach_and_detach);
    expect_readers(1 + TEAM);
    stop(outer);
    outer = start();
    team_end(&t);
    expect_readers(1);
    team_start(&t, attach_and_detach);
    expect_readers(1 + TEAM);
    team_end(&t);
    stop(outer);
}

CASE_ENV(threads_that_ask_are_counted_as_such, "PIMALLOC_TSTATE=call")
{
    team t;
    PyThreadState *outer = start();
    team_start(&t, raw_first_and_attach_later);
    counts count = count_threads();
    EXPECT_EQ(count.by_word, 0);
    EXPECT_EQ(count.by_call, 1 + TEAM);
    char *text = embed_stats_text();
    EXPECT_HAS(text, "(read by 0 threads, asked for by 9 threads)\n");
    free(text);
    team_end(&t);
    EXPECT_EQ(count_threads().by_call, 1);
    text = embed_stats_text();
    EXPECT_HAS(text, "(read by 0 threads, asked for by 1 thread)\n");
    free(text);
    stop(outer);
}

// --- the loader's lock -----------------------------------------------------

static sem_t loader_is_locked;
static sem_t unlock_loader;

static int
hold_lock(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)info;
    (void)size;
    (void)arg;
    sem_post(&loader_is_locked);
    while (sem_wait(&unlock_loader) != 0) {
    }
    return 1;
}

// The loader's list of modules stays locked while its visitor waits, for example
// for a GIL.
static void *
visit_modules(void *arg)
{
    dl_iterate_phdr(hold_lock, arg);
    return NULL;
}

static pthread_t
lock_loader(void)
{
#ifdef __SANITIZE_ADDRESS__
    embed_skip("this sanitizer asks the loader itself when a thread starts");
#endif
    sem_init(&loader_is_locked, 0, 0);
    sem_init(&unlock_loader, 0, 0);
    pthread_t visitor = embed_thread(visit_modules, NULL);
    while (sem_wait(&loader_is_locked) != 0) {
    }
    return visitor;
}

CASE(first_request_does_not_wait_for_the_loader)
{
    team t;
    PyThreadState *outer = start();
    pthread_t visitor = lock_loader();
    team_start(&t, raw_first_and_attach_later);
    expect_readers(1 + TEAM);
    team_end(&t);
    sem_post(&unlock_loader);
    embed_join(visitor);
    stop(outer);
}

// A forked child inherits the lock, and nobody will ever open it.
CASE(thread_of_a_child_does_not_wait_for_the_loader)
{
    PyThreadState *outer = start();
    pthread_t visitor = lock_loader();
    PyEval_RestoreThread(outer);
    embed_run("import os, signal, threading, warnings\n"
              "warnings.simplefilter('ignore')\n"
              "def work():\n"
              "    x = [[i] for i in range(1000)]\n"
              "child = os.fork()\n"
              "if child == 0:\n"
              "    signal.alarm(300)\n"
              "    t = threading.Thread(target=work)\n"
              "    t.start(); t.join()\n"
              "    os._exit(0)\n"
              "assert os.waitpid(child, 0)[1] == 0\n");
    outer = PyEval_SaveThread();
    sem_post(&unlock_loader);
    embed_join(visitor);
    stop(outer);
}

CASE(child_counts_its_own_threads)
{
    team t;
    PyThreadState *outer = start();
    team_start(&t, attach_and_detach);
    PyEval_RestoreThread(outer);
    PyOS_BeforeFork();
    pid_t child = fork();
    if (child == 0) {
        PyOS_AfterFork_Child();
        alarm(patience());
        expect_readers(1);
        outer = PyEval_SaveThread();
        team_start(&t, attach_and_detach);
        expect_readers(1 + TEAM);
        _exit(0);
    }
    PyOS_AfterFork_Parent();
    EXPECT_EQ(child_outcome(child), 0);
    outer = PyEval_SaveThread();
    expect_readers(1 + TEAM);
    team_end(&t);
    stop(outer);
}
