// test_layers.c -- what others put on top of us: the debug hooks, tracemalloc, a
// wrapper.
//
// Dangerous facts covered: 8, debug hooks over ours lose
// the raw domain at the first swap of Pythons up to 3.13; 9, tracemalloc is
// global and restores blindly.

#include <stdlib.h>

#include "support/embed.h"

static void
use_python(void)
{
    // Not datetime: in 3.12 blocks of its types outlive the runtime, and would
    // find other layers in the next.
    embed_run("import json, re, collections\n"
              "d = {i: str(i) for i in range(5000)}\n"
              "json.loads(json.dumps(d))\n");
}

static void *
interpreters(void *arg)
{
    for (int i = 0; i < *(int *)arg; i++) {
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        embed_run("import json; x = [str(i) for i in range(3000)]");
        embed_leave(&guest);
    }
    return NULL;
}

static void
two_threads_of_interpreters(int each)
{
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t a = embed_thread(interpreters, &each);
    pthread_t b = embed_thread(interpreters, &each);
    embed_join(a);
    embed_join(b);
    PyEval_RestoreThread(outer);
}

// --- debug hooks -----------------------------------------------------------

CASE(debug_hooks_over_ours)
{
    embed_preinit();
    embed_install();
    PyMem_SetupDebugHooks();
    EXPECT_EQ(pimalloc_active(), 0); // nobody was served yet
    embed_init();
    if (!PY_IS_DEBUG) { // there they look like a reset
        EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    }
    use_python();
    two_threads_of_interpreters(5);
    if (!embed_is_vanilla()) {
        EXPECT_GT(embed_stats(0).domain[PIMALLOC_OBJ].live_blocks, 5000);
        embed_expect_sane(embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_RAW]);
    }
    embed_stop();
}

CASE(debug_hooks_over_ours_in_three_runtimes)
{
    for (int i = 0; i < 3; i++) {
        embed_preinit();
        embed_install();
        PyMem_SetupDebugHooks();
        embed_init();
        use_python();
        embed_stop();
    }
}

// Hooks in one runtime, none in the next, and the other way round.
CASE(debug_hooks_in_every_other_runtime)
{
    for (int i = 0; i < 4; i++) {
        embed_preinit();
        embed_install();
        if (i % 2 == 0) {
            PyMem_SetupDebugHooks();
        }
        embed_init();
        use_python();
        embed_stop();
    }
}

// Hooks after the start: allowed over an allocator, says pymem.h.
CASE(debug_hooks_before_the_install_are_replaced)
{
    embed_preinit();
    PyMem_SetupDebugHooks();
    embed_install();
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    embed_init();
    use_python();
    two_threads_of_interpreters(3);
    embed_stop();
}

// --- tracemalloc -----------------------------------------------------------

CASE(tracemalloc_starts_and_stops)
{
    embed_start();
    embed_run("import tracemalloc\n"
              "before = [str(i) for i in range(20000)]\n");
    for (int i = 0; i < 3; i++) {
        embed_run("tracemalloc.start()");
        EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
        embed_run("while_on = [str(i) for i in range(20000)]\n"
                  "assert tracemalloc.get_traced_memory()[0] > 500000\n"
                  "before = None\n" // not traced, freed while tracing
                  "big = bytearray(1 << 20); big.extend(bytes(1 << 20))\n"
                  "snapshot = tracemalloc.take_snapshot()\n"
                  "assert len(snapshot.traces) > 10000\n"
                  "snapshot = None\n"
                  "tracemalloc.stop()\n");
        EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
        embed_run("while_on = None; big = None\n" // traced, freed afterwards
                  "before = [str(i) for i in range(20000)]\n");
    }
    two_threads_of_interpreters(3);
    embed_stop();
}

CASE(tracemalloc_from_the_start)
{
    embed_preinit();
    embed_install();
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    embed_check_status(PyConfig_SetBytesString(&config, &config.program_name,
                                               PIM_TEST_PYTHON));
    config.tracemalloc = 1;
    embed_check_status(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    use_python();
    embed_run("import tracemalloc\n"
              "assert tracemalloc.get_traced_memory()[0] > 500000\n"
              "tracemalloc.stop()\n");
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    embed_run("import tracemalloc; tracemalloc.start()");
    embed_stop();  // with tracing on
    embed_start(); // and again
    use_python();
    embed_stop();
}

// Tracing covers all interpreters.  3.12, 3.14 and 3.13's debug build crash at
// this on their own: the trace keeps file names of interpreters that ended.
CASE(tracemalloc_over_many_interpreters)
{
    if (PY_312 || PY_314 || (PY_313 && PY_IS_DEBUG)) {
        embed_skip("this Python crashes at it on its own allocator, too");
    }
    embed_start();
    embed_run("import tracemalloc; tracemalloc.start()");
    two_threads_of_interpreters(5);
    embed_run("tracemalloc.stop()");
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    two_threads_of_interpreters(5);
    embed_stop();
}

// Interpreters that began before the tracing and end after it.
CASE(interpreters_live_through_tracing)
{
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    embed_run("import json; x = [str(i) for i in range(3000)]");
    PyThreadState_Swap(outer);
    embed_run("import tracemalloc; tracemalloc.start()");
    embed_run("y = [str(i) for i in range(3000)]");
    embed_run("tracemalloc.stop()");
    PyThreadState_Swap(sub);
    embed_run("x = [str(i) for i in range(9000)]");
    if (!embed_is_vanilla()) {
        EXPECT_GT(embed_stats(1).domain[PIMALLOC_OBJ].live_blocks, 9000);
    }
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    if (!embed_is_vanilla()) {
        EXPECT_EQ(embed_stats(1).state, PIMALLOC_ENDED);
    }
    embed_stop();
}

// --- somebody's wrapper ----------------------------------------------------

typedef struct wrapper {
    PyMemAllocatorEx inner;
    _Atomic size_t calls;
} wrapper;

static wrapper wrappers[3];

static void *
wrap_malloc(void *ctx, size_t size)
{
    wrapper *w = ctx;
    w->calls++;
    return w->inner.malloc(w->inner.ctx, size);
}

static void *
wrap_calloc(void *ctx, size_t count, size_t size)
{
    wrapper *w = ctx;
    w->calls++;
    return w->inner.calloc(w->inner.ctx, count, size);
}

static void *
wrap_realloc(void *ctx, void *block, size_t size)
{
    wrapper *w = ctx;
    w->calls++;
    return w->inner.realloc(w->inner.ctx, block, size);
}

static void
wrap_free(void *ctx, void *block)
{
    wrapper *w = ctx;
    w->inner.free(w->inner.ctx, block);
}

CASE(a_wrapper_comes_and_goes)
{
    embed_start();
    for (unsigned d = 0; d < 3; d++) {
        PyMem_GetAllocator((PyMemAllocatorDomain)d, &wrappers[d].inner);
        PyMemAllocatorEx outer = {&wrappers[d], wrap_malloc, wrap_calloc,
                                  wrap_realloc, wrap_free};
        PyMem_SetAllocator((PyMemAllocatorDomain)d, &outer);
    }
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    use_python();
    two_threads_of_interpreters(3);
    for (unsigned d = 0; d < 3; d++) {
        EXPECT_GT(wrappers[d].calls, 10);
        PyMem_SetAllocator((PyMemAllocatorDomain)d, &wrappers[d].inner);
    }
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
    use_python();
    embed_stop();
}
