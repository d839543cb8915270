// test_stacks.c -- the stacks of Python frames: in whose account they are, and what
// becomes of those who recurse without end.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (32 * MIB)
#define HARD (36 * MIB)

static uint64_t
mem_bytes(int64_t interp)
{
    return embed_stats(interp).domain[PIMALLOC_MEM].live_bytes;
}

// --- what is counted -------------------------------------------------------

static uint64_t seen_at_the_bottom;

static PyObject *
look(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    seen_at_the_bottom = mem_bytes(embed_interp_id());
    Py_RETURN_NONE;
}

static PyMethodDef look_def = {"look", look, METH_NOARGS, NULL};

static void
define_look(void)
{
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *function = PyCFunction_New(&look_def, NULL);
    EXPECT_EQ(PyDict_SetItemString(names, "look", function), 0);
    Py_DECREF(function);
}

// A frame of this function has some 80 bytes or more.
static void
recurse(int depth)
{
    char code[200];
    snprintf(code, sizeof(code),
             "import sys\n"
             "sys.setrecursionlimit(10**6)\n"
             "def down(n): return look() if n == 0 else down(n - 1)\n"
             "down(%d)\n",
             depth);
    embed_run(code);
}

CASE(stacks_are_in_the_account_of_their_interpreter)
{
    embed_start();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    define_look();
    recurse(10);
    uint64_t of_main = mem_bytes(0);
    uint64_t before = mem_bytes(id);
    recurse(50000);
    EXPECT_GE(seen_at_the_bottom, before + 3 * MIB);
    EXPECT_LE(mem_bytes(id), before + 65536);
    EXPECT_EQ(mem_bytes(0), of_main);
    embed_return(&guest);
    if (PY_314_OR_NEWER) {
        EXPECT_EQ(mem_bytes(id), 0);
    }
    embed_stop();
}

// --- without end -----------------------------------------------------------

static const char *const endless[] = {
    "def f(): f()\n"
    "f()",
    "def f(n): return f(n + 1) + 1\n"
    "f(0)",
    "def f(x):\n"
    "    try: f(x)\n"
    "    finally: x = 1\n"
    "f(0)",
    "def f():\n"
    "    yield from f()\n"
    "for x in f(): pass",
    "async def f(): await f()\n"
    "f().send(None)",
    "class C:\n"
    "    def __init__(self): self.next = C()\n"
    "C()",
    "names = ', '.join('x%d' % i for i in range(6000))\n"
    "exec('def f(' + names + '): f(' + names + ')')\n" // frames of 48 KB
    "f(*range(6000))",
    "import threading\n"
    "error = None\n"
    "def f(): f()\n"
    "def run():\n"
    "    global error\n"
    "    try: f()\n"
    "    except BaseException as e: error = e\n"
    "t = [threading.Thread(target=run) for i in range(3)]\n"
    "for x in t: x.start()\n"
    "for x in t: x.join()\n"
    "raise error",
};

static void *
recurse_without_end(void *arg)
{
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    embed_run("import sys, threading, gc\n"
              "sys.setrecursionlimit(10**8)\n");
    EXPECT_EQ(pimalloc_limit_set(id, SOFT, HARD, NULL, NULL), 0);
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *done = PyRun_String(arg, Py_file_input, names, names);
    EXPECT(done == NULL);
    PyObject *error = PyErr_GetRaisedException();
    const char *type = Py_TYPE(error)->tp_name;
    // CPython up to 3.13 has its own way to say so; see test_limits.c.
    if (strcmp(type, "MemoryError") != 0 &&
        strcmp(type, "RecursionError") != 0 &&
        (PY_314_OR_NEWER || strcmp(type, "SystemError") != 0)) {
        FAIL("a MemoryError, got %s from: %s", type, (const char *)arg);
    }
    Py_DECREF(error);
    pimalloc_snapshot now = embed_stats(id);
    EXPECT_LE(now.domain[PIMALLOC_MEM].peak_bytes, HARD);
    EXPECT_LE(now.domain[PIMALLOC_OBJ].peak_bytes, HARD + MIB);
    embed_run("names = error = None\n"
              "gc.collect()\n"
              "assert sum(range(1000)) == 499500\n"
              "def deep(n): return n and deep(n - 1)\n"
              "deep(1000)\n");
    embed_leave(&guest);
    return NULL;
}

CASE(recursion_without_end_ends_at_the_limit)
{
#ifdef Py_DEBUG
    embed_skip("CPython's debug builds assert where memory runs out");
#endif
    embed_start();
    PyThreadState *outer = PyEval_SaveThread();
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        embed_join(
            embed_thread(recurse_without_end, (void *)(uintptr_t)endless[i]));
    }
    PyEval_RestoreThread(outer);
    embed_run("assert len(bytes(64 << 20)) == 64 << 20");
    embed_stop();
}

// --- other people's arenas -------------------------------------------------

static PyObjectArenaAllocator inner;
static unsigned long long asked;
static unsigned long long returned;

static void *
counting_alloc(void *ctx, size_t size)
{
    (void)ctx;
    asked++;
    return inner.alloc(inner.ctx, size);
}

static void
counting_free(void *ctx, void *piece, size_t size)
{
    (void)ctx;
    returned++;
    inner.free(inner.ctx, piece, size);
}

static void
count_arenas(void)
{
    PyObjectArenaAllocator counting = {NULL, counting_alloc, counting_free};
    PyObject_GetArenaAllocator(&inner);
    PyObject_SetArenaAllocator(&counting);
}

CASE(an_allocator_of_the_programs_own_stays)
{
    PyObjectArenaAllocator now;
    embed_preinit();
    count_arenas();
    embed_install();
    PyObject_GetArenaAllocator(&now);
    EXPECT(now.alloc == counting_alloc && now.free == counting_free);
    embed_init();
    define_look();
    uint64_t before = mem_bytes(0);
    recurse(50000);
    EXPECT_LE(seen_at_the_bottom, before + MIB);
    EXPECT_GT(asked, 100);
    embed_stop();
}

CASE(an_allocator_may_be_put_on_top)
{
    embed_preinit();
    embed_install();
    count_arenas();
    embed_init();
    define_look();
    uint64_t before = mem_bytes(0);
    recurse(50000);
    EXPECT_GE(seen_at_the_bottom, before + 3 * MIB);
    EXPECT_GT(asked, 100);
    EXPECT_GT(returned, 100);
    embed_stop();
}

CASE(each_runtime_gets_them_anew)
{
    for (int runtime = 0; runtime < 3; runtime++) {
        embed_start();
        define_look();
        uint64_t before = mem_bytes(0);
        recurse(50000);
        EXPECT_GE(seen_at_the_bottom, before + 3 * MIB);
        embed_stop();
    }
}
