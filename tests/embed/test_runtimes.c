// test_runtimes.c -- several Py_Initialize() in one process.
//
// Dangerous facts covered: 6, a second initialisation
// silently uninstalls; 5, ids start over.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/embed.h"

// 3.12 dies of a second `import asyncio` on any allocator: argument parsers of
// _ssl keep strings of the first runtime.
#define ASYNCIO (PY_312 ? "" : "import asyncio\n")

static void
use_python(void)
{
    embed_run(ASYNCIO);
    embed_run("import json, re, datetime, decimal, collections\n"
              "d = datetime.datetime(2026, 1, 2)\n"
              "assert d.isoformat().startswith('2026')\n"
              "s = [str(i) for i in range(20000)]\n"
              "assert decimal.Decimal('0.1') * 3 == "
              "decimal.Decimal('0.3')\n");
}

static void
one_interpreter(void)
{
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_run("import json; json.dumps(list(range(1000)))");
    embed_return(&guest);
}

CASE(three_runtimes_each_with_install)
{
    for (unsigned i = 1; i <= 3; i++) {
        embed_start();
        use_python();
        one_interpreter();
        if (!embed_is_vanilla()) {
            pimalloc_snapshot s = embed_stats(0);
            EXPECT_EQ(s.generation, i);
            EXPECT_EQ(s.state, PIMALLOC_ALIVE);
            EXPECT_GT(s.domain[PIMALLOC_OBJ].live_blocks, 20000);
            embed_expect_sane(s.domain[PIMALLOC_OBJ]);
            EXPECT_EQ(embed_stats(1).generation, i);
            EXPECT_EQ(embed_stats(1).state, PIMALLOC_ENDED);
        }
        embed_stop();
    }
}

// In 3.14 and newer nothing is left after Py_FinalizeEx(), so the main heap's
// figures return to where they were.
CASE(runtimes_leave_nothing_behind)
{
    if (!PY_314_OR_NEWER) {
        embed_skip("this Python leaks objects itself");
    }
    for (int i = 0; i < 3; i++) {
        embed_start();
        use_python();
        one_interpreter();
        embed_stop();
        pimalloc_snapshot s = embed_stats(0);
        EXPECT_LE(s.domain[PIMALLOC_OBJ].live_blocks, 400 * (i + 1));
        EXPECT_LE(s.domain[PIMALLOC_MEM].live_blocks, 400 * (i + 1));
    }
}

// The tables are gone and Python runs on its own allocator.  Up to 3.12 blocks
// in the dicts of datetime's types outlive the first runtime and are freed in
// the second by CPython's allocator, which dies of them, and of its own, too.
CASE(second_runtime_without_install_works)
{
    embed_start();
    embed_run("import json, re, collections, functools");
    embed_run(PY_312 ? "" : "import asyncio, datetime, decimal");
    one_interpreter();
    embed_stop();
    EXPECT_EQ(pimalloc_active(), 1);
    embed_preinit();
    EXPECT_EQ(pimalloc_active(), 0);
    embed_init();
    EXPECT_EQ(pimalloc_active(), 0);
    embed_run("import json, re, collections, functools");
    embed_run(PY_312 ? "" : "import asyncio, datetime, decimal");
    one_interpreter();
    char *text = embed_stats_text();
    EXPECT_HAS(text, "not active any more");
    free(text);
    embed_stop();
    embed_start(); // and back
    embed_run("import json, re");
    one_interpreter();
    embed_stop();
}

// Blocks of CPython's allocator that outlive the first runtime come to us.
CASE(install_in_the_second_runtime_only)
{
    embed_preinit();
    embed_init();
    use_python();
    one_interpreter();
    embed_stop();
    embed_start();
    use_python();
    one_interpreter();
    embed_stop();
}

// Between Py_FinalizeEx() and the next preinitialisation our tables are still
// there, so an early install of a second runtime is refused, and lost.
CASE(early_install_of_a_second_runtime_is_refused)
{
    embed_install();
    embed_preinit();
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    embed_stop();
    EXPECT_EQ(pimalloc_install(NULL), -EALREADY);
    EXPECT_HAS(pimalloc_strerror(-EALREADY), "Py_PreInitialize"); // the remedy
    embed_preinit();
    EXPECT_EQ(pimalloc_active(), 0);
    EXPECT_EQ(pimalloc_install(NULL), 0); // the right moment
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    embed_stop();
}

// Blocks of one runtime are freed in the next, where ids are the same again.
CASE(blocks_of_the_last_runtime_are_freed)
{
    void *small[100];
    embed_start();
    for (int i = 0; i < 100; i++) {
        small[i] = PyMem_Malloc(200);
    }
    void *large = PyMem_Malloc(1000000);
    void *mapped = PyMem_Malloc((size_t)40 << 20);
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    EXPECT_EQ(embed_interp_id(), 1);
    void *of_sub = PyObject_Malloc(300);
    void *large_of_sub = PyObject_Malloc(100000);
    memset(of_sub, 'x', 300);
    memset(large_of_sub, 'y', 100000);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    embed_stop();

    embed_start();
    pimalloc_usage before = embed_stats(0).domain[PIMALLOC_MEM];
    for (int i = 0; i < 100; i++) {
        PyMem_Free(small[i]);
    }
    PyMem_Free(large);
    PyMem_Free(mapped);
    pimalloc_usage after = embed_stats(0).domain[PIMALLOC_MEM];
    EXPECT_EQ(before.live_blocks - after.live_blocks, 102);

    outer = PyThreadState_Get();
    sub = embed_new_interp(EMBED_OWN_GIL);
    EXPECT_EQ(embed_interp_id(), 1);
    pimalloc_snapshot s = embed_stats(1);
    EXPECT_EQ(s.generation, 2);
    EXPECT_EQ(s.state, PIMALLOC_ALIVE);
    EXPECT_EQ(((char *)of_sub)[299], 'x');
    EXPECT_EQ(((char *)large_of_sub)[99999], 'y');
    before = embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_OBJ];
    PyObject_Free(of_sub);
    large_of_sub = PyObject_Realloc(large_of_sub, 200000);
    EXPECT_EQ(((char *)large_of_sub)[99999], 'y');
    PyObject_Free(large_of_sub);
    after = embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_OBJ];
    EXPECT_EQ(before.live_blocks - after.live_blocks, 2);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    embed_stop();
}

// An interpreter with the id and perhaps the address of one of the last runtime
// gets a heap of its own.
CASE(ids_start_over_with_fresh_figures)
{
    for (unsigned runtime = 1; runtime <= 4; runtime++) {
        embed_start();
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        EXPECT_EQ(embed_interp_id(), 1);
        for (int i = 0; i < 50000; i++) {
            EXPECT(PyMem_Malloc(32) != NULL); // leaked
        }
        pimalloc_snapshot s = embed_stats(1);
        EXPECT_EQ(s.generation, runtime);
        EXPECT_GE(s.domain[PIMALLOC_MEM].live_blocks, 50000);
        EXPECT_LE(s.domain[PIMALLOC_MEM].live_blocks, 60000);
        EXPECT_LE(s.domain[PIMALLOC_MEM].peak_blocks, 60000);
        embed_return(&guest);
        embed_stop();
        EXPECT_GE(
            embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_MEM].live_blocks,
            50000 * (int)runtime);
    }
}

// --- PEP 741 ---------------------------------------------------------------

// Looked up, so that this compiles for Pythons that have none of it.
static void
init_from_init_config(void)
{
    void *(*create)(void);
    int (*set_str)(void *, const char *, const char *);
    int (*initialize)(void *);
    int (*error)(void *, const char **);
    void (*destroy)(void *);
    *(void **)&create = dlsym(RTLD_DEFAULT, "PyInitConfig_Create");
    *(void **)&set_str = dlsym(RTLD_DEFAULT, "PyInitConfig_SetStr");
    *(void **)&initialize = dlsym(RTLD_DEFAULT, "Py_InitializeFromInitConfig");
    *(void **)&error = dlsym(RTLD_DEFAULT, "PyInitConfig_GetError");
    *(void **)&destroy = dlsym(RTLD_DEFAULT, "PyInitConfig_Free");
    if (create == NULL) {
        embed_skip("this Python has no PyInitConfig");
    }
    void *config = create();
    const char *why = "no reason given";
    EXPECT(config != NULL);
    EXPECT_EQ(set_str(config, "program_name", PIM_TEST_PYTHON), 0);
    if (initialize(config) != 0) {
        error(config, &why);
        FAIL("Py_InitializeFromInitConfig() to work: %s", why);
    }
    destroy(config);
}

CASE(init_config_keeps_an_early_install)
{
    embed_install();
    init_from_init_config();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    one_interpreter();
    embed_stop();
    EXPECT_EQ(pimalloc_install(NULL), -EALREADY);
    init_from_init_config(); // preinitialises, and drops our tables
    EXPECT_EQ(pimalloc_active(), 0);
    use_python();
    one_interpreter();
    embed_stop();
}

// With an explicit preinitialisation there is a window in every runtime.
CASE(init_config_after_preinit_and_install)
{
    for (int i = 0; i < 3; i++) {
        embed_preinit();
        embed_install();
        init_from_init_config();
        EXPECT_EQ(pimalloc_active(), 1);
        use_python();
        one_interpreter();
        embed_stop();
    }
}
