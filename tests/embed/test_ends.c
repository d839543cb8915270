// test_ends.c -- the end of an interpreter, and who is who afterwards.
//
// Dangers covered: no hook marks the end; addresses are reused; the raw table is
// swapped when an interpreter ends.

#include <stdlib.h>
#include <string.h>

#include "support/embed.h"

// --- the end (fact 1) ------------------------------------------------------

static int64_t ending_id;
static int hooks_seen;
static uint64_t live_at_last_hook;

static void
look_from_hook(void)
{
    pimalloc_snapshot s = embed_stats(ending_id);
    EXPECT_EQ(s.state, PIMALLOC_ALIVE);
    live_at_last_hook = s.domain[PIMALLOC_OBJ].live_blocks;
    EXPECT_GT(live_at_last_hook, 3000);
    hooks_seen++;
    PyMem_Free(PyMem_Malloc(100)); // the heap serves
}

static int
audit_hook(const char *event, PyObject *args, void *data)
{
    (void)args;
    (void)data;
    if (strcmp(event, "cpython.PyInterpreterState_Clear") == 0 &&
        embed_interp_id() == ending_id) {
        look_from_hook();
    }
    return 0;
}

static void
capsule_goes(PyObject *capsule)
{
    (void)capsule;
    if (embed_interp_id() == ending_id) {
        look_from_hook();
    }
}

#if !PY_312
static void
at_exit(void *data)
{
    (void)data;
    look_from_hook();
}
#endif

CASE(no_hook_is_the_end_of_an_interpreter)
{
    embed_start();
    embed_skip_if_vanilla("figures are ours alone");
    EXPECT_EQ(PySys_AddAuditHook(audit_hook, NULL), 0);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    ending_id = embed_interp_id();
    embed_run("import json, re, asyncio, datetime");
    static int marker;
    PyObject *capsule = PyCapsule_New(&marker, "embed", capsule_goes);
    PyDict_SetItemString(PyInterpreterState_GetDict(guest.sub->interp), "embed",
                         capsule);
    Py_DECREF(capsule);
#if !PY_312
    EXPECT_EQ(PyUnstable_AtExit(guest.sub->interp, at_exit, NULL), 0);
#endif
    embed_return(&guest);
    EXPECT_GE(hooks_seen, PY_312 ? 2 : 3);
    pimalloc_snapshot s = embed_stats(ending_id);
    EXPECT_EQ(s.state, PIMALLOC_ENDED);
    // Thousands of frees came after the last hook and were all counted.
    EXPECT_LE(s.domain[PIMALLOC_OBJ].live_blocks + 2000, live_at_last_hook);
    EXPECT_EQ(s.arenas, 0);
    EXPECT_EQ(s.pages, 0);
    embed_stop();
}

// 3.14.0 never frees the interpreter's state: then its heap stays.
static PyMemAllocatorEx real_raw;

static void
leak_large_raw(void *ctx, void *block)
{
    (void)ctx;
    (void)block;
}

CASE(end_may_never_be_told)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    for (int i = 0; i < 3; i++) {
        PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        embed_run("import json");
        void *left = PyMem_Malloc(100);
        PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &real_raw);
        PyMemAllocatorEx leaking = real_raw;
        leaking.free = leak_large_raw; // every raw block of the end leaks
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &leaking);
        Py_EndInterpreter(sub);
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &real_raw);
        PyThreadState_Swap(outer);
        pimalloc_snapshot s = embed_stats(id);
        EXPECT_EQ(s.state, PIMALLOC_ALIVE); // as far as we know
        PyMem_Free(left);
        EXPECT_EQ(embed_stats(id).remote_frees - s.remote_frees, 1);
    }
    EXPECT_EQ(pimalloc_active(), 1);
    embed_stop();
}

// --- identity (facts 5 and 7) ----------------------------------------------

CASE(interpreters_at_one_address_are_told_apart)
{
    embed_start();
    const PyInterpreterState *seen[30];
    int reused = 0;
    void *left[30];
    for (int i = 0; i < 30; i++) {
        embed_kind kind = i % 5 == 0   ? EMBED_LEGACY
                          : i % 7 == 0 ? EMBED_SHARED_GIL
                                       : EMBED_OWN_GIL;
        pimalloc_usage main_before = embed_stats(0).domain[PIMALLOC_MEM];
        embed_guest guest = embed_visit(kind);
        int64_t id = embed_interp_id();
        EXPECT_EQ(id, i + 1);
        seen[i] = guest.sub->interp;
        for (int j = 0; j < i; j++) {
            reused += seen[j] == seen[i];
        }
        left[i] = PyMem_Malloc(1000);
        if (kind != EMBED_LEGACY) {
            pimalloc_snapshot s = embed_stats(id);
            EXPECT_EQ(s.interp, id);
            EXPECT_EQ(s.state, PIMALLOC_ALIVE);
            EXPECT_LE(s.domain[PIMALLOC_MEM].live_blocks, 3000);
            EXPECT_LE(embed_stats(0).domain[PIMALLOC_MEM].live_blocks,
                      main_before.live_blocks + 20);
        }
        embed_return(&guest);
    }
    for (int i = 0; i < 30; i++) {
        PyMem_Free(left[i]);
    }
    EXPECT_GT(reused, 0);
    embed_stop();
}

static void
libc_free(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

// Up to 3.13 CPython swaps the raw table to libc at moments, also when another
// thread frees an interpreter's state: then its end goes unnoticed, and the next
// interpreter may get the address at once.  Here the swap is made by hand.
CASE(end_during_a_raw_swap_is_noticed_later)
{
    if (PY_314_OR_NEWER) {
        embed_skip("this Python does not swap its raw table");
    }
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyMemAllocatorEx ours;
    PyMemAllocatorEx libc;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &ours);
    libc = ours;
    libc.free = libc_free;
    int reused = 0;
    for (int i = 0; i < 6; i++) {
        PyThreadState *sub =
            embed_new_interp(i % 2 == 0 ? EMBED_LEGACY : EMBED_OWN_GIL);
        const PyInterpreterState *address = sub->interp;
        PyMem_Free(PyMem_Malloc(10));
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &libc);
        Py_EndInterpreter(sub);
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &ours);
        PyThreadState_Swap(outer);

        pimalloc_usage main_before = embed_stats(0).domain[PIMALLOC_MEM];
        sub = embed_new_interp(EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        reused += sub->interp == address;
        void *blocks[100];
        for (int k = 0; k < 100; k++) {
            blocks[k] = PyMem_Malloc(1000);
        }
        pimalloc_snapshot s = {.size = sizeof(s)};
        int err = pimalloc_stats(id, &s);
        if (err != 0) {
            FAIL("interpreter %lld to have a heap of its own, not that of the "
                 "one that was at its address",
                 (long long)id);
        }
        EXPECT_EQ(s.state, PIMALLOC_ALIVE);
        EXPECT_GE(s.domain[PIMALLOC_MEM].live_blocks, 100);
        pimalloc_usage main_after = embed_stats(0).domain[PIMALLOC_MEM];
        EXPECT_LE(main_after.live_blocks, main_before.live_blocks + 50);
        for (int k = 0; k < 100; k++) {
            PyMem_Free(blocks[k]);
        }
        Py_EndInterpreter(sub);
        PyThreadState_Swap(outer);
    }
    if (reused == 0) {
        embed_skip("no address was reused");
    }
    embed_stop();
}

// An own GIL with main's obmalloc: CPython allows it; the heap must not be
// main's, whose GIL it does not hold.
static void
churn(uint32_t seed, int rounds)
{
    enum { SLOTS = 200 };
    unsigned char *slots[SLOTS] = {NULL};
    size_t sizes[SLOTS] = {0};
    for (int i = 0; i < rounds; i++) {
        uint32_t k = embed_random(&seed) % SLOTS;
        if (slots[k] != NULL) {
            EXPECT_EQ(slots[k][0], (unsigned char)k);
            PyMem_Free(slots[k]);
        }
        sizes[k] = 1 + embed_random(&seed) % 700;
        slots[k] = PyMem_Calloc(1, sizes[k]);
        EXPECT(slots[k] != NULL);
        EXPECT_EQ(slots[k][0], 0);
        EXPECT_EQ(slots[k][sizes[k] - 1], 0);
        slots[k][0] = (unsigned char)k;
    }
    for (int k = 0; k < SLOTS; k++) {
        PyMem_Free(slots[k]);
    }
}

static void *
churn_in(void *interp)
{
    PyThreadState *here = PyThreadState_New(interp);
    PyEval_RestoreThread(here);
    churn(2, 1000000);
    PyThreadState_Clear(here);
    PyThreadState_DeleteCurrent();
    return NULL;
}

CASE(own_gil_with_main_obmalloc_gets_its_own_heap)
{
    embed_start();
    embed_skip_if_vanilla("CPython's own allocator would be corrupted");
    if (PY_312) {
        embed_skip("this Python cannot be asked whether a GIL is shared");
    }
    PyThreadState *outer = PyThreadState_Get();
    const PyInterpreterConfig config = {
        .use_main_obmalloc = 1,
        .allow_threads = 1,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *mixed = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&mixed, &config);
    if (PyStatus_Exception(status)) {
        embed_skip("CPython refuses it");
    }
    int64_t id = embed_interp_id();
    void *block = PyMem_Malloc(100);
    pimalloc_snapshot s = {.size = sizeof(s)};
    EXPECT_EQ(pimalloc_stats(id, &s), 0);
    EXPECT_EQ(s.interp, id);
    PyMem_Free(block);
    PyThreadState_Swap(outer);
    pthread_t thread = embed_thread(churn_in, mixed->interp);
    churn(1, 1000000);
    embed_join(thread);
    PyThreadState_Swap(mixed);
    Py_EndInterpreter(mixed);
    PyThreadState_Swap(outer);
    embed_stop();
}
