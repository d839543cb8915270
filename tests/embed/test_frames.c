// test_frames.c -- our walk of the stack is CPython's, at every allocation.
//
// The tables of mem and obj are wrapped, and frames.py runs.  At each request the
// stack that we read is compared with what CPython says: frames, instructions,
// lines and names.  CPython makes objects of the frames when it is asked, whose
// requests are passed over.  In a debug build obj is not wrapped: it asserts that
// nobody asks for a frame while its object is being made.

#include <stdatomic.h>
#include <string.h>

#include "cpython/symbols.h"
#include "hooks/frames.h"
#include "support/embed.h"

#define FRAMES_MAX 256
#define NAME_BYTES 2000
#define STACKS_MIN 5000 // to be compared in a run of Python code

#define PROGRAM                                                                \
    "path = '" PIM_TEST_FOLDER "/frames.py'\n"                                 \
    "with open(path, encoding='utf-8') as file:\n"                             \
    "    code = compile(file.read(), path, 'exec')\n"                          \
    "exec(code, {'__name__': 'frames'})\n"

static PyMemAllocatorEx inner[3];
static _Atomic unsigned long stacks;
static _Atomic unsigned long frames;
static __thread bool inside;

// --- one stack -------------------------------------------------------------

// Reads one character of UTF-8.
static Py_UCS4
decode(const char **at)
{
    Py_UCS4 c = (unsigned char)*(*at)++;
    unsigned more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    c &= more == 0 ? 0x7f : 0x3fu >> more;
    for (; more != 0; more--) {
        EXPECT_EQ(**at & 0xc0, 0x80);
        c = c << 6 | (*(*at)++ & 0x3f);
    }
    return c;
}

// `name` is pim_frames_file() or its like.  Makes and frees no object: debug
// builds assert where objects may be freed.
static void
compare_name(size_t (*name)(const void *, char *, size_t),
             const PyCodeObject *code, PyObject *theirs)
{
    char ours[NAME_BYTES];
    size_t bytes = name(code, ours, sizeof(ours));
    const char *at = ours;
    EXPECT_EQ(strlen(ours), bytes);
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(theirs); i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(theirs, i);
        if (at == ours + bytes) {
            EXPECT_GE(bytes + 4, sizeof(ours)); // it was cut
            return;
        }
        EXPECT_EQ(decode(&at), Py_UNICODE_IS_SURROGATE(c) ? '?' : c);
    }
    EXPECT_EQ(at - ours, bytes);
}

static void
compare_frame(PyFrameObject *frame, const pim_frame *ours)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    int lasti = PyFrame_GetLasti(frame);
    int line = PyFrame_GetLineNumber(frame);
    EXPECT_EQ((intptr_t)code, (intptr_t)ours->code);
    long offset = (long)((const char *)ours->instr - code->co_code_adaptive);
    EXPECT_EQ(lasti, offset < 0 ? -1 : offset);
    EXPECT_EQ(line < 0 ? 0 : line, pim_frames_line(ours));
    compare_name(pim_frames_file, code, code->co_filename);
    compare_name(pim_frames_function, code, code->co_qualname);
    Py_DECREF(code);
}

static void
compare_stack(PyThreadState *tstate)
{
    pim_frame ours[FRAMES_MAX];
    unsigned total = 0;
    unsigned count = pim_frames_walk(tstate, ours, FRAMES_MAX, &total);
    unsigned theirs = 0;
    PyFrameObject *frame = PyThreadState_GetFrame(tstate);
    while (frame != NULL) {
        if (theirs < count) {
            compare_frame(frame, &ours[theirs]);
        }
        theirs++;
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    EXPECT_EQ(theirs, total);
    EXPECT_EQ(count, total < FRAMES_MAX ? total : FRAMES_MAX);
    stacks += theirs != 0;
    frames += theirs;
}

static void
look(void)
{
    PyThreadState *tstate = pim_py.tstate();
    if (!inside && tstate != NULL) {
        inside = true;
        compare_stack(tstate);
        inside = false;
    }
}

// --- every request ---------------------------------------------------------

static void *
look_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    look();
    return a->malloc(a->ctx, size);
}

static void *
look_calloc(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    look();
    return a->calloc(a->ctx, count, size);
}

static void *
look_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    look();
    return a->realloc(a->ctx, block, size);
}

static void
pass_free(void *ctx, void *block)
{
    PyMemAllocatorEx *a = ctx;
    a->free(a->ctx, block);
}

static bool
is_wrapped(unsigned domain)
{
    return domain == PYMEM_DOMAIN_MEM ||
           (domain == PYMEM_DOMAIN_OBJ && !PY_IS_DEBUG);
}

static void
wrap(void)
{
    for (unsigned d = 0; d < 3; d++) {
        PyMem_GetAllocator((PyMemAllocatorDomain)d, &inner[d]);
        PyMemAllocatorEx outer = {&inner[d], look_malloc, look_calloc,
                                  look_realloc, pass_free};
        if (is_wrapped(d)) {
            PyMem_SetAllocator((PyMemAllocatorDomain)d, &outer);
        }
    }
}

static void
unwrap(void)
{
    for (unsigned d = 0; d < 3; d++) {
        if (is_wrapped(d)) {
            PyMem_SetAllocator((PyMemAllocatorDomain)d, &inner[d]);
        }
    }
}

// --- functions for Python code ---------------------------------------------

static void
define(PyMethodDef *function)
{
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *object = PyCFunction_New(function, NULL);
    EXPECT_EQ(PyDict_SetItemString(names, function->ml_name, object), 0);
    Py_DECREF(object);
}

static PyObject *
start_frames(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    if (!pim_frames_start()) {
        FAIL("frames, not: %s", pim_frames_refusal());
    }
    Py_RETURN_NONE;
}

static PyMethodDef start_def = {"start_frames", start_frames, METH_NOARGS,
                                NULL};

static void
start(void)
{
    embed_start();
    if (embed_is_vanilla()) {
        EXPECT_EQ(pim_py_find(NULL, &pim_py), 0);
    }
    define(&start_def);
    embed_run("def f(): yield from g()\n"
              "def g(): yield start_frames()\n"
              "class C: x = list(f())\n");
    EXPECT(pim_frames_refusal() == NULL);
}

static void
expect_stacks(unsigned long runs)
{
    printf("%lu stacks, %lu frames\n", stacks, frames);
    EXPECT_GT(stacks, runs * STACKS_MIN);
    EXPECT_GT(frames, 2 * stacks);
}

// --- cases -----------------------------------------------------------------

CASE(every_stack_is_cpythons)
{
    start();
    wrap();
    embed_run(PROGRAM);
    embed_run("import asyncio\n"
              "async def leaf(n):\n"
              "    await asyncio.sleep(0)\n"
              "    return [n] * n\n"
              "async def main():\n"
              "    async with asyncio.TaskGroup() as group:\n"
              "        tasks = [group.create_task(leaf(i)) for i in range(5)]\n"
              "    return [task.result() for task in tasks]\n"
              "assert len(asyncio.run(main())) == 5\n");
    unwrap();
    expect_stacks(1);
    embed_stop();
}

// Instrumented code has the same instructions at the same places.
CASE(stacks_of_code_that_is_traced)
{
    start();
    wrap();
    embed_run("import sys\n"
              "seen = []\n"
              "def trace(frame, event, arg):\n"
              "    seen.append((event, [frame.f_lineno]))\n"
              "    return trace\n"
              "sys.settrace(trace)\n"
              "def f(n): return [n, f(n - 1)] if n else [\n"
              "    str(i)\n"
              "    for i in range(3)]\n"
              "def g(n):\n"
              "    for i in range(n): yield [i]\n"
              "for i in range(50): f(9), list(g(9))\n"
              "sys.settrace(None)\n"
              "sys.setprofile(trace)\n"
              "for i in range(50): f(9), list(g(9))\n"
              "sys.setprofile(None)\n"
              "assert len(seen) > 1000\n");
    unwrap();
    expect_stacks(1);
    embed_stop();
}

static void *
work_in_an_interpreter(void *arg)
{
    embed_guest guest;
    embed_enter(&guest, *(embed_kind *)arg);
    embed_run(PROGRAM);
    embed_leave(&guest);
    return NULL;
}

CASE(stacks_of_other_interpreters)
{
    start();
    wrap();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_run(PROGRAM);
    embed_return(&guest);
    unwrap();
    expect_stacks(1);
    embed_stop();
}

CASE(stacks_of_interpreters_at_once)
{
    if (PY_312) {
        embed_skip("3.12 shares types between interpreters without a lock");
    }
    start();
    wrap();
    embed_kind kinds[] = {EMBED_OWN_GIL, EMBED_OWN_GIL, EMBED_SHARED_GIL};
    pthread_t threads[3];
    PyThreadState *outer = PyEval_SaveThread();
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = embed_thread(work_in_an_interpreter, &kinds[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        embed_join(threads[i]);
    }
    PyEval_RestoreThread(outer);
    unwrap();
    expect_stacks(3);
    embed_stop();
}

// --- without the GIL -------------------------------------------------------

static _Atomic unsigned walks;

// While others run, the stack of a thread that waits for nobody stands still.
static PyObject *
walk_detached(PyObject *self, PyObject *ignored)
{
    pim_frame before[FRAMES_MAX];
    pim_frame now[FRAMES_MAX];
    unsigned total;
    (void)self;
    (void)ignored;
    PyThreadState *tstate = PyThreadState_Get();
    compare_stack(tstate);
    unsigned count = pim_frames_walk(tstate, before, FRAMES_MAX, &total);
    PyEval_SaveThread();
    for (unsigned i = 0; i < 100; i++) {
        memset(now, 0, sizeof(now));
        EXPECT_EQ(pim_frames_walk(tstate, now, FRAMES_MAX, NULL), count);
        EXPECT_EQ(memcmp(now, before, count * sizeof(now[0])), 0);
    }
    PyEval_RestoreThread(tstate);
    walks++;
    Py_RETURN_NONE;
}

static PyMethodDef detached_def = {"walk_detached", walk_detached, METH_NOARGS,
                                   NULL};

CASE(a_stack_stands_still_without_the_gil)
{
    start();
    define(&detached_def);
    embed_run("import threading\n"
              "def f(n): return f(n - 1) if n else walk_detached()\n"
              "def run(n):\n"
              "    for i in range(100): f(n)\n"
              "all = [threading.Thread(target=run, args=(n,))\n"
              "       for n in (1, 5, 30)]\n"
              "for thread in all: thread.start()\n"
              "for thread in all: thread.join()\n");
    EXPECT_EQ(walks, 300);
    embed_stop();
}

// --- the start -------------------------------------------------------------

CASE(without_python_code_there_is_nothing_to_prove)
{
    pim_frame out[1];
    embed_start();
    if (embed_is_vanilla()) {
        EXPECT_EQ(pim_py_find(NULL, &pim_py), 0);
    }
    EXPECT(!pim_frames_start());
    EXPECT_HAS(pim_frames_refusal(), "no Python code");
    EXPECT_EQ(pim_frames_walk(PyThreadState_Get(), out, 1, NULL), 0);
    define(&start_def);
    embed_run("start_frames()");
    EXPECT(pim_frames_start()); // known from now on
    EXPECT_EQ(pim_frames_walk(PyThreadState_Get(), out, 1, NULL), 0);
    embed_stop();
    embed_start(); // and in the next runtime
    if (embed_is_vanilla()) {
        EXPECT_EQ(pim_py_find(NULL, &pim_py), 0);
    }
    EXPECT(pim_frames_start());
    embed_stop();
}
