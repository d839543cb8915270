// test_misuse.c -- PIMALLOC_CHECK=1 over a real CPython: misuse is named, and what
// Python does itself is no misuse.

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/crowd.h"
#include "support/embed.h"

#include "support/child.h"

#define TEXT_MAX 2000

// --- death -----------------------------------------------------------------

static void
start_checked(void)
{
    embed_skip_if_vanilla("the checks are ours");
    embed_start();
}

// Runs `body` in a child, which must abort with such a message.
static void
expect_named(void (*body)(void), const char *expected)
{
    char text[TEXT_MAX];
    int outcome = embed_in_child(body, text, sizeof(text));
    EXPECT_HAS(text, expected);
    EXPECT_EQ(outcome, -SIGABRT);
}

// CPython's debug hooks in debug builds look first, and say it their way.
static void
skip_in_debug_builds(void)
{
    if (PY_IS_DEBUG) {
        embed_skip("this build's own hooks look first");
    }
}

static void
double_free_of_mem(void)
{
    void *block = PyMem_Malloc(100);
    PyMem_Free(block);
    PyMem_Free(block);
}

static void
double_free_of_large_obj(void)
{
    void *block = PyObject_Malloc(5 << 20);
    PyObject_Free(block);
    PyObject_Free(block);
}

static void
double_free_of_raw(void)
{
    void *block = PyMem_RawMalloc(100);
    PyMem_RawFree(block);
    PyMem_RawFree(block);
}

static void
use_after_free(void)
{
    char *block = PyObject_Malloc(100);
    PyObject_Free(block);
    block = PyObject_Realloc(block, 200);
    PyObject_Free(block);
}

static void
object_given_to_mem(void)
{
    PyMem_Free(PyObject_Malloc(64));
}

static void
raw_given_to_mem(void)
{
    PyMem_Free(PyMem_RawMalloc(64));
}

static void
mem_given_to_raw(void)
{
    PyMem_RawFree(PyMem_Malloc(64));
}

static void
inside_an_object(void)
{
    PyObject_Free((char *)PyObject_Malloc(1000) + 32);
}

static void
address_of_the_stack(void)
{
    char here[64];
    char *volatile p = here;
    PyMem_Free(p);
}

CASE_ENV(misuse_is_named, "PIMALLOC_CHECK=1")
{
    skip_in_debug_builds();
    start_checked();
    expect_named(double_free_of_mem,
                 "pimalloc: fatal: double free: PyMem_Free() in interpreter 0 "
                 "of a block of 112 bytes, domain mem, of interpreter 0 (0x");
    expect_named(double_free_of_large_obj,
                 "double free: PyObject_Free() in interpreter 0");
    if (PY_314_OR_NEWER) { // else CPython itself goes behind our back
        expect_named(double_free_of_raw,
                     "double free: PyMem_RawFree() in interpreter 0");
    }
    expect_named(use_after_free,
                 "use after free: PyObject_Realloc() in interpreter 0 of a "
                 "block of 112 bytes, domain obj, of interpreter 0");
    expect_named(object_given_to_mem,
                 "wrong domain: PyMem_Free() in interpreter 0 of a block of 64 "
                 "bytes, domain obj, of interpreter 0");
    expect_named(raw_given_to_mem, "wrong domain: PyMem_Free() in interpreter "
                                   "0 of a block of 64 bytes, domain raw, of "
                                   "interpreter 0");
    expect_named(mem_given_to_raw,
                 "wrong domain: PyMem_RawFree() in interpreter 0 of a block of "
                 "64 bytes, domain mem, of interpreter 0");
    expect_named(inside_an_object,
                 "interior pointer: PyObject_Free() in interpreter 0 of an "
                 "address 32 bytes into a block of ");
    expect_named(address_of_the_stack,
                 "foreign pointer: PyMem_Free() in interpreter 0 of an address "
                 "where there is no block (0x");
    embed_stop();
}

// What an interpreter that has ended left.
static char *left;

static void
realloc_orphan(void)
{
    left = PyMem_Realloc(left, 100000);
}

static void
free_orphan_twice(void)
{
    PyMem_Free(left);
    PyMem_Free(left);
}

CASE_ENV(blocks_of_ended_interpreters_are_told_apart, "PIMALLOC_CHECK=1")
{
    skip_in_debug_builds();
    start_checked();
    char expected[200];
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    left = PyMem_Malloc(2000);
    embed_return(&guest);
    snprintf(expected, sizeof(expected),
             "ended interpreter: PyMem_Realloc() in interpreter 0 of a block "
             "of 2096 bytes, domain mem, of interpreter %lld, which has ended",
             (long long)id);
    expect_named(realloc_orphan, expected);
    expect_named(free_orphan_twice,
                 "double free: PyMem_Free() in interpreter 0");
    PyMem_Free(left);
    embed_stop();
}

// --- what is right ---------------------------------------------------------

static const char work[] =
    "import asyncio, collections, datetime, json, pickle, re\n"
    "async def add(n):\n"
    "    await asyncio.sleep(0)\n"
    "    return n + 1\n"
    "async def all():\n"
    "    return await asyncio.gather(*[add(i) for i in range(300)])\n"
    "table = {str(i): [i] * (i % 50) for i in range(3000)}\n"
    "for _ in range(3):\n"
    "    table = json.loads(json.dumps(table))\n"
    "    table = pickle.loads(pickle.dumps(table))\n"
    "text = ' '.join([*table, '']) * 20\n"
    "count = collections.Counter(re.findall('[0-9]+', text))\n"
    "big = [bytearray(100 * i * i) for i in range(1, 120)]\n"
    "for b in big:\n"
    "    b.extend(b); del b[10:]\n"
    "assert len(count) == 3000 and count['77'] == 20\n"
    "kept = datetime.datetime.now()\n"
    "del big, text, count\n";

static void
work_in(embed_kind kind)
{
    embed_guest guest = embed_visit(kind);
    embed_run(work);
    embed_return(&guest);
}

static void *
guest(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        embed_guest g;
        embed_enter(&g, EMBED_OWN_GIL);
        embed_run("import json, re\n"
                  "kept = [json.dumps([i] * 10) for i in range(5000)]\n"
                  "assert len(set(map(len, kept))) == 4\n");
        embed_leave(&g);
    }
    return NULL;
}

CASE_ENV(what_python_does_is_no_misuse, "PIMALLOC_CHECK=1")
{
    // 3.12.1 crashes where the second runtime imports ssl: it keeps the parsers of
    // arguments, whose tuples went with the first.
    int runtimes = PY_312 ? 1 : 2;
    for (int runtime = 0; runtime < runtimes; runtime++) {
        start_checked();
        embed_run(work);
        work_in(EMBED_LEGACY);
        work_in(EMBED_SHARED_GIL);
        if (!PY_312) {
            work_in(EMBED_OWN_GIL);
        }
        embed_run(work);
        embed_stop();
    }
}

CASE_ENV(interpreters_side_by_side_do_no_misuse, "PIMALLOC_CHECK=1")
{
    start_checked();
    crowd_run(guest, 3);
    embed_stop();
}

CASE_ENV(a_forked_child_goes_on_checked, "PIMALLOC_CHECK=1")
{
    start_checked();
    embed_run("import os\n"
              "pid = os.fork()");
    long long child = embed_eval("pid");
    if (child == 0) {
        embed_run(work);
        _exit(0);
    }
    EXPECT_EQ(child_outcome((pid_t)child), 0);
    embed_stop();
}

// The first installation decides, so that no block is missed.
CASE_ENV(a_later_runtime_stays_as_the_first_was, "PIMALLOC_CHECK=0")
{
    for (int runtime = 0; runtime < 2; runtime++) {
        start_checked();
        void *block = PyMem_Malloc(100);
        unsigned char *bytes = block;
        memset(block, 1, 100);
        PyMem_Free(block);
        EXPECT(PY_IS_DEBUG || bytes[50] == 1); // not filled: not checked
        embed_stop();
        setenv("PIMALLOC_CHECK", "1", 1);
    }
}
