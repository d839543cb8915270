// test_tracing.c -- limits under tracemalloc, and under others who note each block:
// their notes are raw blocks that are asked for under the tenant's thread state.
//
// No case ends Python: CPython's tracemalloc does not survive that in all versions when
// it has traced interpreters that ended.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define MIB ((uint64_t)1 << 20)
#define BLOCKS 4000

typedef struct tenant {
    PyThreadState *host;
    PyThreadState *own;
    int64_t id;
} tenant;

// Python is initialised.
static tenant
begin_tenant(void)
{
    tenant t;
    t.host = PyEval_SaveThread();
    PyThreadState *visit = PyThreadState_New(PyInterpreterState_Main());
    PyEval_RestoreThread(visit);
    t.own = embed_new_interp(EMBED_OWN_GIL);
    t.id = embed_interp_id();
    return t;
}

static tenant
begin(void)
{
    embed_start();
    return begin_tenant();
}

_Noreturn static void
end_here(void)
{
    fflush(NULL);
    _exit(0);
}

// What only main may do.
static void
run_in_host(const tenant *t, const char *code)
{
    PyEval_SaveThread();
    PyEval_RestoreThread(t->host);
    embed_run(code);
    PyEval_SaveThread();
    PyEval_RestoreThread(t->own);
}

static uint64_t
live(const tenant *t)
{
    return embed_limit(t->id).live_bytes;
}

static void
leave_room(const tenant *t, uint64_t bytes)
{
    uint64_t most = live(t) + bytes;
    EXPECT_EQ(pimalloc_limit_set(t->id, most, most, NULL, NULL), 0);
}

// --- tracemalloc -----------------------------------------------------------

// They have no note yet, so each needs one when it is resized where it is.
CASE(blocks_that_are_older_than_the_tracing)
{
    tenant t = begin();
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = PyObject_Malloc(100);
    }
    run_in_host(&t, "import tracemalloc\n"
                    "tracemalloc.start(20)\n");
    leave_room(&t, 4096);
    for (int i = 0; i < BLOCKS; i++) {
        EXPECT(PyObject_Realloc(blocks[i], 105) == blocks[i]);
    }
    EXPECT(PyObject_Malloc(100000) == NULL); // they count
    end_here();
}

CASE(a_traced_tenant_gets_its_memory_errors)
{
    tenant t = begin();
    embed_run("import json");
    run_in_host(&t, "import tracemalloc\n"
                    "tracemalloc.start(5)\n");
    EXPECT_EQ(pimalloc_limit_set(t.id, 40 * MIB, 44 * MIB, NULL, NULL), 0);
    embed_run(
        "errors = 0\n"
        "def fill(kind):\n"
        "    global errors\n"
        "    things = []\n"
        "    try:\n"
        "        while True: things.append(kind(len(things)))\n"
        "    except MemoryError: errors += 1\n"
        "for kind in (lambda i: [i], lambda i: bytes(1000),\n"
        "             lambda i: {i: str(i)}, lambda i: bytearray(5000)):\n"
        "    for _ in range(3): fill(kind)\n"
        "assert errors == 12, errors\n"
        "assert json.loads(json.dumps([1] * 1000)) == [1] * 1000\n");
    end_here();
}

CASE(raw_is_refused_unless_somebody_traces)
{
    tenant t = begin();
    EXPECT_EQ(pimalloc_limit_set(t.id, live(&t) + MIB, 0, NULL, NULL), 0);
    EXPECT(PyMem_RawMalloc(2 * MIB) == NULL);
    run_in_host(&t, "import tracemalloc\n"
                    "tracemalloc.start()\n");
    void *block = PyMem_RawMalloc(2 * MIB);
    EXPECT(block != NULL);
    EXPECT(PyMem_RawMalloc(1000 * MIB) == NULL); // no tracer needs that
    PyMem_RawFree(block);
    run_in_host(&t, "tracemalloc.stop()");
    EXPECT(PyMem_RawMalloc(2 * MIB) == NULL);
    end_here();
}

// --- others ----------------------------------------------------------------

static PyMemAllocatorEx inner[3];

// As a profiler that cannot go on without its notes.
static void
note(void)
{
    if (inner[PYMEM_DOMAIN_RAW].malloc(inner[PYMEM_DOMAIN_RAW].ctx, 200) ==
        NULL) {
        fputs("no note\n", stderr);
        abort();
    }
}

static void *
noting_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    void *block = a->malloc(a->ctx, size);
    if (block != NULL) {
        note();
    }
    return block;
}

static void *
noting_calloc(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    void *block = a->calloc(a->ctx, count, size);
    if (block != NULL) {
        note();
    }
    return block;
}

static void *
noting_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    void *moved = a->realloc(a->ctx, block, size);
    if (moved != NULL) {
        note();
    }
    return moved;
}

static void
noting_free(void *ctx, void *block)
{
    PyMemAllocatorEx *a = ctx;
    a->free(a->ctx, block);
}

// The last domain only, or all.
static void
a_wrapper_gets_its_notes(PyMemAllocatorDomain first)
{
#ifdef Py_DEBUG
    embed_skip("CPython's debug builds assert where memory runs out");
#endif
    tenant t = begin();
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &inner[PYMEM_DOMAIN_RAW]);
    for (int d = first; d <= PYMEM_DOMAIN_OBJ; d++) {
        PyMem_GetAllocator((PyMemAllocatorDomain)d, &inner[d]);
        PyMemAllocatorEx noting = {&inner[d], noting_malloc, noting_calloc,
                                   noting_realloc, noting_free};
        PyMem_SetAllocator((PyMemAllocatorDomain)d, &noting);
    }
    EXPECT_EQ(pimalloc_limit_set(t.id, live(&t) + 8 * MIB, 0, NULL, NULL), 0);
    embed_run("errors = 0\n"
              "for _ in range(5):\n"
              "    things = []\n"
              "    try:\n"
              "        while True: things.append(bytearray(100))\n"
              "    except MemoryError: errors += 1\n"
              "assert errors == 5\n");
    end_here();
}

CASE_OF(a_wrapper_of_one_domain_gets_its_notes,
        a_wrapper_gets_its_notes(PYMEM_DOMAIN_OBJ))
CASE_OF(a_wrapper_of_all_domains_gets_its_notes,
        a_wrapper_gets_its_notes(PYMEM_DOMAIN_RAW))

// CPython's debug hooks note nothing.
CASE_ENV(under_debug_hooks_of_ours_raw_is_refused, "PIMALLOC_DEBUG=1")
{
    if (PY_IS_DEBUG && !PY_314_OR_NEWER) {
        embed_skip("such builds lose the raw allocator below their hooks");
    }
    embed_preinit();
    EXPECT_EQ(pimalloc_install(NULL), 0);
    embed_init();
    tenant t = begin_tenant();
    EXPECT_EQ(pimalloc_limit_set(t.id, live(&t) + MIB, 0, NULL, NULL), 0);
    EXPECT(PyMem_RawMalloc(2 * MIB) == NULL);
    end_here();
}
