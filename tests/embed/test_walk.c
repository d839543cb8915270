// test_walk.c -- a walk of real interpreters finds what their figures say.
//
// Between the figures and the walk nothing of Python runs, so both are of one
// moment, and must agree to the byte.

#include <errno.h>
#include <pimalloc/tenants.h>

#include "support/embed.h"

typedef struct census {
    pimalloc_usage domain[PIMALLOC_DOMAINS];
    int64_t interp;
    const void *sought;
    int times;
} census;

static int
count(void *arg, const pimalloc_block *block)
{
    census *c = arg;
    EXPECT_EQ(block->size, sizeof(*block));
    EXPECT_EQ(block->interp, c->interp);
    EXPECT_EQ((uintptr_t)block->address % 16, 0);
    EXPECT(block->domain >= 0 && block->domain < PIMALLOC_DOMAINS);
    c->domain[block->domain].live_bytes += block->bytes;
    c->domain[block->domain].live_blocks++;
    c->times += block->address == c->sought;
    return 0;
}

static census
take(int64_t id, const void *sought)
{
    census c = {.interp = id, .sought = sought};
    EXPECT_EQ(pimalloc_walk(id, count, &c), 0);
    return c;
}

static void
expect_agreement(int64_t id)
{
    pimalloc_snapshot s = embed_stats(id);
    census c = take(id, NULL);
    bool is_libc = embed_stats(PIMALLOC_PROCESS).raw_is_libc != 0;
    bool has_raw = id != PIMALLOC_PROCESS && !is_libc;
    for (int d = has_raw ? PIMALLOC_RAW : PIMALLOC_MEM; d < PIMALLOC_DOMAINS;
         d++) {
        EXPECT_EQ(c.domain[d].live_bytes, s.domain[d].live_bytes);
        EXPECT_EQ(c.domain[d].live_blocks, s.domain[d].live_blocks);
    }
}

// Walks are asked for from within Python code, in the middle of what it does.
static PyObject *
agree(PyObject *self, PyObject *arg)
{
    (void)self;
    (void)arg;
    expect_agreement(embed_interp_id());
    Py_RETURN_NONE;
}

static void
add_agree(void)
{
    static PyMethodDef method = {"agree", agree, METH_NOARGS, NULL};
    PyObject *function = PyCFunction_New(&method, NULL);
    EXPECT(function != NULL);
    PyObject *main_module = PyImport_AddModule("__main__"); // borrowed
    EXPECT_EQ(PyObject_SetAttrString(main_module, "agree", function), 0);
    Py_DECREF(function);
}

static const char *const work =
    "import json, random, re\n"
    "random.seed(7)\n"
    "kept = []\n"
    "for i in range(400):\n"
    "    n = random.choice((3, 30, 300, 3000, 30000))\n"
    "    kept.append(random.choice((\n"
    "        lambda: list(range(n)), lambda: {j: str(j) for j in range(n)},\n"
    "        lambda: bytes(n * 40), lambda: bytearray(n * 100),\n"
    "        lambda: json.loads(json.dumps(['x' * 9] * n)),\n"
    "        lambda: re.compile('(a|b)' * (n % 50)), lambda: 'y' * n,\n"
    "        lambda: (j for j in range(n))))())\n"
    "    if len(kept) > 40:\n"
    "        del kept[random.randrange(len(kept))]\n"
    "    if i % 7 == 0 and isinstance(kept[-1], list):\n"
    "        kept[-1].extend(range(n))\n"
    "    agree()\n"
    "del kept\n"
    "agree()\n";

static void
run_work(void)
{
    add_agree();
    embed_run(work);
}

CASE(walk_agrees_in_main_and_in_interpreters)
{
    embed_skip_if_vanilla("there is nothing to walk");
    embed_start();
    run_work();
    for (int i = 0; i < 3; i++) {
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        run_work();
        embed_return(&guest);
        // What it left is the process's, in pages that the next one reclaims.
        expect_agreement(PIMALLOC_PROCESS);
        expect_agreement(0);
    }
    embed_stop();
    expect_agreement(PIMALLOC_PROCESS);
    expect_agreement(0);
}

CASE(object_is_found_in_its_interpreter_and_nowhere_else)
{
    embed_skip_if_vanilla("there is nothing to walk");
    embed_start();
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    PyObject *small = PyFloat_FromDouble(0.25);
    PyObject *large = PyBytes_FromStringAndSize(NULL, 3 << 20);
    int64_t id = embed_interp_id();
    EXPECT_EQ(take(id, small).times, 1);
    EXPECT_EQ(take(id, large).times, 1);
    EXPECT_EQ(take(PIMALLOC_PROCESS, small).times, 0);
    EXPECT_EQ(take(PIMALLOC_PROCESS, large).times, 0);
    void *raw = PyMem_RawMalloc(100);
    int is_ours = embed_stats(PIMALLOC_PROCESS).raw_is_libc == 0;
    EXPECT_EQ(take(id, raw).times, is_ours);
    EXPECT_EQ(take(0, raw).times, 0);
    Py_EndInterpreter(sub); // all are leaked
    PyThreadState_Swap(outer);
    EXPECT_EQ(take(PIMALLOC_PROCESS, small).times, 1);
    EXPECT_EQ(take(PIMALLOC_PROCESS, large).times, 1);
    EXPECT_EQ(take(0, large).times, 0);
    EXPECT_EQ(take(PIMALLOC_PROCESS, raw).times, is_ours);
    PyMem_RawFree(raw);
    EXPECT_EQ(take(PIMALLOC_PROCESS, raw).times, 0);
    PyObject_Free(small);
    PyObject_Free(large);
    EXPECT_EQ(take(PIMALLOC_PROCESS, small).times, 0);
    EXPECT_EQ(take(PIMALLOC_PROCESS, large).times, 0);
    expect_agreement(PIMALLOC_PROCESS);
    embed_stop();
}

static int
stop(void *arg, const pimalloc_block *block)
{
    (void)block;
    return ++*(int *)arg == 5 ? 42 : 0;
}

CASE(wrong_questions_are_refused)
{
    int n = 0;
    embed_skip_if_vanilla("there is nothing to walk");
    EXPECT_EQ(pimalloc_walk(0, stop, &n), -ENOENT); // never installed
    EXPECT_EQ(pimalloc_walk(PIMALLOC_PROCESS, stop, &n), -ENOENT);
    embed_start();
    EXPECT_EQ(pimalloc_walk(0, NULL, &n), -EINVAL);
    EXPECT_EQ(pimalloc_walk(1, stop, &n), -ENOENT);
    EXPECT_EQ(n, 0);
    EXPECT_EQ(pimalloc_walk(0, stop, &n), 42);
    EXPECT_EQ(n, 5);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    embed_return(&guest);
    EXPECT_EQ(pimalloc_walk(id, stop, &n), -ENOENT);
    embed_stop();
}
