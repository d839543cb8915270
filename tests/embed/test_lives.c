// test_lives.c -- lives of interpreters in four threads, while everything else goes on.
//
//     LIVES=3000 LIVES_SEED=7 embed_lives_py3.13.0 all_at_once
//
// Each life: born, works, is limited, walks its own memory, leaves something, ends.
// Beside them the main thread forks, trims, walks the process, traces, and now and
// then takes the process's address space away for a moment; in one case a sandbox
// takes membarrier away in the middle.  Nothing may hang or die, and whenever an
// interpreter is at rest its account must be what a walk finds.
//
// CPython itself does not survive a lack of memory at every point of an interpreter's
// birth and end, so address space is scarce only while no thread is there: `calm`.

#define _GNU_SOURCE

#include <errno.h>
#include <pimalloc/tenants.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/embed.h"
#include "support/patience.h"

#define THREADS 4
#define LIVES_MIN 4 // of each thread, however slow the machine is
#define SECONDS 4

static pthread_rwlock_t calm; // held while a lack of memory would end CPython
static pthread_rwlock_t
    steady;              // held while its allocators must not be switched
static atomic_int alive; // threads that still live lives
static atomic_int lives;
static atomic_int rests; // at which account and walk agreed
static int wanted;       // lives; 0: as many as there is time for
static uint32_t first_seed = 1;
static time_t began;

static bool
is_over(int done)
{
    return wanted != 0 ? atomic_load(&lives) >= wanted
                       : done >= LIVES_MIN && time(NULL) - began > SECONDS;
}

// --- a life ------------------------------------------------------------------

static const char *const work[] = {
    "x = [str(i) for i in range(3000)]; del x",
    "import json; json.loads(json.dumps([{'a': i, 'b': [i]} for i in "
    "range(500)]))",
    "import re, collections; keep = collections.deque(range(2000))",
    "class O: pass\nkeep = [O() for _ in range(1000)]\nfor o in keep: o.me = "
    "o\n",
    "keep = {i: bytes(i % 700) for i in range(4000)}\n"
    "for i in range(0, 4000, 3): del keep[i]\n",
    "x = bytearray(2_000_000); x.extend(bytes(3_000_000)); del x[1000:]",
    "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nf(400)",
    "try:\n  x = [bytes(100_000) for _ in range(2000)]\n"
    "except MemoryError:\n  pass\nx = None\n",
};

// Requests that may be refused.
static void
churn(uint32_t *seed, int rounds)
{
    enum { HELD = 24 };
    char *held[HELD] = {NULL};
    for (int i = 0; i < rounds; i++) {
        uint32_t k = embed_random(seed) % HELD;
        uint32_t dice = embed_random(seed);
        size_t size = dice % 60 == 0 ? 1000000 + dice % 2000000
                                     : 1 + dice % (dice % 9 ? 700 : 60000);
        if (dice % 3 == 0) {
            char *changed = PyMem_Realloc(held[k], size);
            held[k] = changed != NULL ? changed : held[k];
        } else {
            PyMem_Free(held[k]);
            held[k] = PyMem_Malloc(size);
            if (held[k] != NULL) {
                held[k][0] = held[k][size - 1] = 'l';
            }
        }
    }
    for (int k = 0; k < HELD; k++) {
        PyMem_Free(held[k]);
    }
}

typedef struct census {
    uint64_t bytes[PIMALLOC_DOMAINS];
    uint64_t blocks[PIMALLOC_DOMAINS];
} census;

static int
count(void *arg, const pimalloc_block *block)
{
    census *c = arg;
    c->bytes[block->domain] += block->bytes;
    c->blocks[block->domain]++;
    return 0;
}

// At rest: nothing of this interpreter runs.
static void
expect_agreement(int64_t id)
{
    census c = {.bytes = {0}};
    pimalloc_snapshot s = embed_stats(id);
    bool raw_too = embed_stats(PIMALLOC_PROCESS).raw_is_libc == 0;
    EXPECT_EQ(pimalloc_walk(id, count, &c), 0);
    for (int d = raw_too ? PIMALLOC_RAW : PIMALLOC_MEM; d < PIMALLOC_DOMAINS;
         d++) {
        EXPECT_EQ(c.bytes[d], s.domain[d].live_bytes);
        EXPECT_EQ(c.blocks[d], s.domain[d].live_blocks);
    }
    atomic_fetch_add(&rests, 1);
}

static void
leave_something(uint32_t dice)
{
    if (dice % 3 == 0) {
        (void)PyMem_Malloc(1 + dice % 5000);
        (void)PyObject_Malloc(1 + dice % 300);
    }
    if (dice % 7 == 0) {
        (void)PyMem_Malloc(1500000);
    }
}

static void
live(uint32_t *seed)
{
    embed_guest guest;
    pthread_rwlock_rdlock(&calm);
    embed_enter(&guest, EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    if (PY_314_OR_NEWER) { // older ones use what ended interpreters left
        int policy = 1 + (int)(embed_random(seed) % 3);
        EXPECT_EQ(pimalloc_policy_set(id, policy), 0);
    }
    for (unsigned i = embed_random(seed) % 4; i-- > 0;) {
        embed_run(work[embed_random(seed) % (sizeof(work) / sizeof(work[0]))]);
    }
    expect_agreement(id);
    pthread_rwlock_unlock(&calm);

    pthread_rwlock_rdlock(&steady);
    churn(seed, 400); // address space may be scarce now
    uint64_t limit = (uint64_t)(12 + embed_random(seed) % 40) << 20;
    EXPECT_EQ(pimalloc_limit_set(id, limit, limit + (4 << 20), NULL, NULL), 0);
    churn(seed, 200);
    expect_agreement(id);
    pthread_rwlock_unlock(&steady);

    pthread_rwlock_rdlock(&calm);
    EXPECT_EQ(pimalloc_limit_set(id, 0, 0, NULL, NULL), 0);
    leave_something(embed_random(seed));
    embed_leave(&guest);
    pthread_rwlock_unlock(&calm);
}

static void *
live_lives(void *arg)
{
    uint32_t seed = first_seed + (uint32_t)(uintptr_t)arg * 7919;
    for (int done = 0; !is_over(done); done++) {
        live(&seed);
        if (atomic_fetch_add(&lives, 1) % 100 == 99 && wanted != 0) {
            printf("%d lives\n", atomic_load(&lives));
            fflush(stdout);
        }
    }
    atomic_fetch_sub(&alive, 1);
    return NULL;
}

// --- what else goes on -------------------------------------------------------
//
// Of the main thread.  `calm` is taken without main's GIL, which births wait for.

static PyThreadState *main_state;

static void
run_in_main(const char *code)
{
    PyEval_RestoreThread(main_state);
    embed_run(code);
    main_state = PyEval_SaveThread();
}

static void
fork_one(uint32_t *seed)
{
    PyEval_RestoreThread(main_state);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        alarm(patience());
        churn(seed, 100);
        pimalloc_trim(PIMALLOC_EACH);
        _exit(0);
    }
    main_state = PyEval_SaveThread();
    EXPECT_EQ(child_outcome(child), 0);
}

// Takes what is left of the address space but for a little, while no thread is
// where CPython would not survive it.
static void
take_addresses(uint32_t *seed)
{
    struct rlimit before;
    struct rlimit now;
    long kib = 0;
    pthread_rwlock_wrlock(&calm);
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (f != NULL && fscanf(f, "%ld", &pages) == 1) {
        kib = pages * (sysconf(_SC_PAGESIZE) / 1024);
    }
    if (f != NULL) {
        fclose(f);
    }
    getrlimit(RLIMIT_AS, &before);
    now = before;
    now.rlim_cur = ((rlim_t)kib << 10) + (embed_random(seed) % 8 << 20);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &now), 0);
    embed_sleep_ms(5);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
    pthread_rwlock_unlock(&calm);
}

// CPython 3.12 and 3.14 crash where interpreters end while tracemalloc traces, and all
// where a thread with a GIL of its own is in tracemalloc while that is stopped.
static void
toggle_tracing(bool *traces)
{
    if (PY_313 || PY_VERSION_HEX >= 0x030f0000) {
        *traces = !*traces;
        pthread_rwlock_wrlock(&calm);
        pthread_rwlock_wrlock(&steady);
        run_in_main(*traces ? "import tracemalloc; tracemalloc.start(3)"
                            : "import tracemalloc; tracemalloc.stop()");
        pthread_rwlock_unlock(&steady);
        pthread_rwlock_unlock(&calm);
    }
}

static void
deny_membarrier(void)
{
    if (!child_forbid_membarrier()) {
        embed_skip("no seccomp filter here");
    }
}

static void
do_something(uint32_t *seed, bool *traces)
{
    switch (embed_random(seed) % 8) {
    case 0:
    case 1:
        if (!*traces) { // its lock may be taken in the child for ever
            fork_one(seed);
        }
        break;
    case 2:
        take_addresses(seed);
        break;
    case 3:
        toggle_tracing(traces);
        break;
    case 4:
        pimalloc_trim(PIMALLOC_EACH);
        break;
    case 5: {
        census c = {.bytes = {0}};
        EXPECT_EQ(pimalloc_walk(PIMALLOC_PROCESS, count, &c), 0);
        break;
    }
    default:
        run_in_main("x = [str(i) for i in range(2000)]; del x");
        break;
    }
}

static void
all_at_once_with(bool with_sandbox)
{
    embed_skip_if_vanilla("limits and walks are ours");
#ifdef Py_DEBUG
    embed_skip("CPython's debug builds assert where memory runs out");
#endif
    const char *lives_wanted = getenv("LIVES");
    const char *seed_wanted = getenv("LIVES_SEED");
    wanted = lives_wanted != NULL ? atoi(lives_wanted) : 0;
    first_seed = seed_wanted != NULL ? (uint32_t)atoi(seed_wanted) : 1;
    if (wanted != 0) {
        alarm(0); // by hand
    }
    pthread_rwlockattr_t writer_first;
    pthread_rwlockattr_init(&writer_first);
    pthread_rwlockattr_setkind_np(&writer_first,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&calm, &writer_first);
    pthread_rwlock_init(&steady, &writer_first);
    began = time(NULL);
    embed_start();
    main_state = PyEval_SaveThread();
    pthread_t threads[THREADS];
    atomic_store(&alive, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = embed_thread(live_lives, (void *)i);
    }
    uint32_t seed = first_seed + 13;
    bool traces = false;
    bool denied = !with_sandbox;
    while (atomic_load(&alive) > 0) {
        if (!denied && atomic_load(&lives) >= THREADS) {
            deny_membarrier();
            denied = true;
        }
        do_something(&seed, &traces);
        embed_sleep_ms(1 + (int)(embed_random(&seed) % 20));
    }
    for (int i = 0; i < THREADS; i++) {
        embed_join(threads[i]);
    }
    PyEval_RestoreThread(main_state);
    printf("%d lives, %d times account and walk agreed\n", atomic_load(&lives),
           atomic_load(&rests));
    EXPECT_EQ(atomic_load(&rests), 2 * atomic_load(&lives));
    if (traces) {
        embed_run("import tracemalloc; tracemalloc.stop()");
    }
    embed_stop();
}

CASE_OF(all_at_once, all_at_once_with(false))
CASE_OF(all_at_once_and_a_sandbox, all_at_once_with(true))
CASE_ENV_OF(all_at_once_beside_the_purging_thread, all_at_once_with(false),
            "PIMALLOC_PURGE_THREAD=1")
