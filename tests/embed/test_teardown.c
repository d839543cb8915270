// test_teardown.c -- what an interpreter left is kept, poisoned or released.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define LEAKED_BYTES (3 << 20)

// What the interpreters of a case left, by a stray reference.
static PyObject *leaked_object;
static PyObject *leaked_bytes;
static int64_t leaker;

static void
leak_objects(void)
{
    leaked_object = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    leaked_bytes = PyBytes_FromStringAndSize(NULL, LEAKED_BYTES);
    EXPECT(leaked_object != NULL && leaked_bytes != NULL);
    memset(PyBytes_AsString(leaked_bytes), 'x', LEAKED_BYTES);
}

// One interpreter that works, leaks and ends.  `policy`: for it alone, or 0.
static void
one_interpreter(int policy)
{
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    leaker = embed_interp_id();
    embed_run("import json, re, collections");
    if (policy != 0) {
        EXPECT_EQ(pimalloc_policy_set(leaker, policy), 0);
    }
    leak_objects();
    embed_return(&guest);
    EXPECT_EQ(embed_stats(leaker).state, PIMALLOC_ENDED);
}

static pimalloc_teardown
teardown_stats(void)
{
    pimalloc_teardown t = {.size = sizeof(t)};
    EXPECT_EQ(pimalloc_teardown_stats(&t), 0);
    return t;
}

static uint64_t
live_of_process(void)
{
    pimalloc_snapshot s = embed_stats(PIMALLOC_PROCESS);
    return s.domain[PIMALLOC_OBJ].live_bytes +
           s.domain[PIMALLOC_MEM].live_bytes;
}

static void
start(void)
{
    embed_start();
    embed_skip_if_vanilla("policies are ours alone");
}

// --- keep ------------------------------------------------------------------

CASE(what_is_kept_can_be_used_and_freed_late)
{
    start();
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), 0);
    uint64_t before = live_of_process();
    one_interpreter(0);
    EXPECT_GE(live_of_process(), before + LEAKED_BYTES);
    EXPECT_EQ(PyBytes_AsString(leaked_bytes)[LEAKED_BYTES - 1], 'x');
    PyObject_Free(leaked_bytes);
    PyObject_Free(leaked_object);
    EXPECT_LE(live_of_process(), before + LEAKED_BYTES / 2);
    embed_stop();
}

// --- release ---------------------------------------------------------------

CASE(nothing_is_left_of_a_released_interpreter)
{
    start();
    if (!PY_314_OR_NEWER) {
        EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_RELEASE),
                  -ENOTSUP);
        EXPECT_HAS(pimalloc_strerror(-ENOTSUP), "release needs CPython 3.14");
        embed_stop();
        return;
    }
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_RELEASE), 0);
    uint64_t before = live_of_process();
    for (int i = 0; i < 20; i++) {
        uint64_t released = teardown_stats().released_bytes;
        one_interpreter(0);
        EXPECT_EQ(live_of_process(), before);
        EXPECT_GE(teardown_stats().released_bytes, released + LEAKED_BYTES);
        EXPECT_GE(embed_stats(leaker).domain[PIMALLOC_OBJ].live_bytes,
                  LEAKED_BYTES);
        EXPECT_EQ(embed_stats(leaker).committed_bytes, 0);
    }
    embed_stop();
}

CASE(raw_blocks_are_kept)
{
    start();
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PY_314_OR_NEWER
                                                     ? PIMALLOC_RELEASE
                                                     : PIMALLOC_POISON),
              0);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    char *small = PyMem_RawCalloc(1, 100);
    char *large = PyMem_RawCalloc(1, 3 << 20);
    embed_return(&guest);
    EXPECT_EQ(small[99], 0);
    EXPECT_EQ(large[(3 << 20) - 1], 0);
    uint64_t left =
        embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_RAW].live_bytes;
    PyMem_RawFree(small);
    PyMem_RawFree(large);
    EXPECT_GE(left,
              embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_RAW].live_bytes +
                  100 + (3 << 20));
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), 0);
    embed_stop();
}

CASE_ENV(environment_sets_the_policy, "PIMALLOC_TEARDOWN=release")
{
    start();
    uint64_t before = live_of_process();
    one_interpreter(0);
    if (PY_314_OR_NEWER) {
        EXPECT_EQ(live_of_process(), before);
    } else { // told of on stderr, and ignored
        EXPECT_GE(live_of_process(), before + LEAKED_BYTES);
    }
    embed_stop();
}

CASE(configuration_sets_the_policy)
{
    pimalloc_config config = {.size = sizeof(config),
                              .teardown = PIMALLOC_RELEASE};
    embed_preinit();
    embed_skip_if_vanilla("policies are ours alone");
    if (!PY_314_OR_NEWER) {
        EXPECT_EQ(pimalloc_install(&config), -ENOTSUP);
        EXPECT_HAS(pimalloc_strerror(-ENOTSUP), "before CPython 3.14");
        return;
    }
    config.teardown = 4;
    EXPECT_EQ(pimalloc_install(&config), -EINVAL);
    EXPECT_HAS(pimalloc_strerror(-EINVAL), "no policy");
    config.teardown = PIMALLOC_RELEASE;
    EXPECT_EQ(pimalloc_install(&config), 0);
    embed_init();
    uint64_t before = live_of_process();
    one_interpreter(0);
    EXPECT_EQ(live_of_process(), before);
    embed_stop();
}

// --- poison ----------------------------------------------------------------

static void
use_object(void)
{
    Py_INCREF(leaked_object);
}

static void
use_bytes(void)
{
    volatile char *last = PyBytes_AS_STRING(leaked_bytes);
    last[LEAKED_BYTES - 1] = 'y';
}

static void
use_object_without_a_thread_state(void)
{
    PyEval_SaveThread();
    use_object();
}

CASE(late_touch_names_both_interpreters)
{
    char text[2000];
    char who[200];
#ifdef __SANITIZE_ADDRESS__
    embed_skip("the sanitizer's handler ends the process in its own way");
#endif
    start();
    one_interpreter(PIMALLOC_POISON);
    EXPECT_EQ(embed_in_child(use_object, text, sizeof(text)), -SIGSEGV);
    snprintf(who, sizeof(who),
             "pimalloc: fatal: interpreter 0 touched memory of interpreter "
             "%lld, which has ended: address %p in a block of ",
             (long long)leaker, (void *)leaked_object);
    EXPECT_HAS(text, who);
    EXPECT_HAS(text, " of the domain obj that it left allocated\n");
    EXPECT_EQ(embed_in_child(use_bytes, text, sizeof(text)), -SIGSEGV);
    EXPECT_HAS(text, "interpreter 0 touched memory of interpreter ");
    EXPECT_HAS(text, " of the domain obj that it left allocated\n");
    EXPECT_EQ(
        embed_in_child(use_object_without_a_thread_state, text, sizeof(text)),
        -SIGSEGV);
    EXPECT_HAS(text, "a thread without an interpreter touched memory of");
    embed_stop();
}

CASE(late_frees_of_poisoned_objects_are_counted)
{
    start();
    one_interpreter(PIMALLOC_POISON);
    pimalloc_teardown before = teardown_stats();
    EXPECT_GE(before.poisoned_bytes, LEAKED_BYTES);
    PyObject_Free(leaked_bytes);
    PyObject_Free(leaked_object);
    pimalloc_teardown after = teardown_stats();
    EXPECT_EQ(after.late_frees, before.late_frees + 2);
    EXPECT_EQ(after.poisoned_blocks, before.poisoned_blocks - 2);
    EXPECT_LE(after.poisoned_bytes, before.poisoned_bytes - LEAKED_BYTES);
    embed_stop();
}

CASE(poisoned_interpreters_in_a_row)
{
    start();
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_POISON), 0);
    uint64_t before = live_of_process();
    for (int i = 0; i < 30; i++) {
        one_interpreter(0);
        EXPECT_EQ(live_of_process(), before);
    }
    EXPECT_GE(teardown_stats().poisoned_blocks, 60);
    embed_run("import json; json.dumps(list(range(10000)))");
    embed_stop();
}

// --- who has one -----------------------------------------------------------

CASE(policies_that_cannot_be_are_refused)
{
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), -ENOENT);
    start();
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, 0), -EINVAL);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, 4), -EINVAL);
    EXPECT_EQ(pimalloc_policy_set(0, PIMALLOC_POISON), -ENOTSUP);
    EXPECT_EQ(pimalloc_policy_set(77, PIMALLOC_POISON), -ENOENT);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_PROCESS, PIMALLOC_KEEP), -ENOENT);
    embed_guest guest = embed_visit(EMBED_LEGACY);
    embed_run("import json");
    EXPECT_EQ(pimalloc_policy_set(embed_interp_id(), PIMALLOC_POISON),
              -ENOTSUP);
    embed_return(&guest);
    pimalloc_teardown t = {.size = 1};
    EXPECT_EQ(pimalloc_teardown_stats(&t), -EINVAL);
    EXPECT_EQ(pimalloc_teardown_stats(NULL), -EINVAL);
    embed_stop();
}
