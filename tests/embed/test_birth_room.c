// test_birth_room.c -- interpreters for which a tenant has no room, and room that was
// taken for some that were not made.

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define MIB ((uint64_t)1 << 20)
#define BIRTH (8 * MIB) // that must be free
#define THREADS 24

static const PyInterpreterConfig config = {.allow_threads = 1,
                                           .check_multi_interp_extensions = 1,
                                           .gil = PyInterpreterConfig_OWN_GIL};

// Main, as its own tenant.
static void
start_limited(uint64_t room)
{
    embed_start();
    EXPECT_EQ(pimalloc_limit_count_made(0, 1), 0);
    uint64_t limit = embed_limit(0).live_bytes + room;
    EXPECT_EQ(pimalloc_limit_set(0, limit, limit, NULL, NULL), 0);
}

static void
expect_room(uint64_t bytes)
{
    void *block = PyMem_Malloc((size_t)bytes);
    EXPECT(block != NULL);
    PyMem_Free(block);
}

// Python that is told so goes on; one that does not survive it (see birth.h) makes the
// interpreter.  None was made in this process, which would show how large one is.
CASE(made_from_c_with_little_room)
{
    for (uint64_t room = 0; room < 4 * MIB; room += MIB) {
        start_limited(room);
        PyThreadState *outer = PyThreadState_Get();
        PyThreadState *made = NULL;
        PyStatus status = Py_NewInterpreterFromConfig(&made, &config);
        EXPECT(PyStatus_Exception(status) == (made == NULL));
        EXPECT(made == NULL || PY_VERSION_HEX >= 0x030d0800);
        EXPECT_GT(embed_limit(0).refusals, 0);
        if (made != NULL) { // with the room of a newborn, and no more
            EXPECT(PyMem_Malloc((size_t)BIRTH * 2) == NULL);
            EXPECT_LE(embed_limit(0).tree_bytes,
                      embed_limit(0).hard_bytes + BIRTH);
            EXPECT_EQ(pimalloc_limit_set(0, 0, 0, NULL, NULL), 0);
            Py_EndInterpreter(made);
        }
        EXPECT_EQ(pimalloc_limit_set(0, 0, 0, NULL, NULL), 0);
        PyThreadState_Swap(outer);
        Py_EndInterpreter(embed_new_interp(EMBED_OWN_GIL));
        PyThreadState_Swap(outer);
        embed_stop();
    }
}

static const char fails[] =
    "import sys\n"
    "try: import _interpreters as it\n"
    "except ImportError: import _xxsubinterpreters as it\n"
    "import threading\n"
    "def fail():\n"
    "    try: it.create(config)\n"
    "    except Exception: return\n"
    "    raise SystemError('that was to fail')\n"
    "config = it.new_config('isolated')\n"
    "config.use_main_obmalloc = False\n"
    "config.check_multi_interp_extensions = False\n"
    "def use_threads():\n"
    "    for _ in range(24):\n"
    "        t = threading.Thread(target=fail)\n"
    "        t.start(); t.join()\n";

CASE(those_that_fail_leave_no_charge)
{
    if (PY_312) {
        embed_skip("this Python has no such configuration");
    }
    start_limited(64 * MIB);
    embed_run(fails);
    embed_run("use_threads()");
    expect_room(48 * MIB);
    EXPECT_EQ(embed_limit(0).refusals, 0);
    embed_stop();
}

// They have main's heap, so none is opened for them.
static void *
live_as_legacy(void *arg)
{
    embed_guest guest;
    embed_enter(&guest, EMBED_LEGACY);
    embed_leave(&guest);
    return arg;
}

CASE(legacy_ones_leave_no_charge)
{
    start_limited(128 * MIB);
    PyThreadState *outer = PyEval_SaveThread();
    for (int i = 0; i < THREADS; i++) {
        embed_join(embed_thread(live_as_legacy, NULL));
    }
    PyEval_RestoreThread(outer);
    expect_room(48 * MIB);
    EXPECT_EQ(embed_limit(0).refusals, 0);
    embed_stop();
}

// What is asked for on the way to an interpreter is spared, and nothing else.
CASE(nothing_large_passes_after_a_birth)
{
    start_limited(64 * MIB);
    PyThreadState *outer = PyThreadState_Get();
    for (int kind = EMBED_OWN_GIL; kind <= EMBED_LEGACY; kind++) {
        Py_EndInterpreter(embed_new_interp((embed_kind)kind));
        PyThreadState_Swap(outer);
        EXPECT(PyMem_RawMalloc(512 << 20) == NULL);
        EXPECT(PyMem_RawMalloc(512 << 20) == NULL);
    }
    embed_stop();
}
