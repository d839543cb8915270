// test_trace.c -- a trace of all, a profile and faults, while interpreters are
// born and end by the thousand, in threads: nobody crashes, and in the end nothing
// is left of it.

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pimalloc/profile.h>
#include <pimalloc/trace.h>

#include "support/crowd.h"
#include "support/embed.h"
#include "support/patience.h"

#define THREADS 4
#if defined(__SANITIZE_ADDRESS__)
#    define INTERPRETERS 100
#else
#    define INTERPRETERS 1000
#endif

#define WORK                                                                   \
    "import collections\n"                                                     \
    "kept = [str(i) * 2 for i in range(300)]\n"                                \
    "d = {k: [k] for k in kept}\n"                                             \
    "for i in range(20):\n"                                                    \
    "    space = {}\n"                                                         \
    "    exec(compile(f'def f(): return bytes(99)', f'<{i}>', 'exec'), "       \
    "space)\n"                                                                 \
    "    space['f']()\n"                                                       \
    "    try:\n"                                                               \
    "        bytes(777000)\n"                                                  \
    "    except MemoryError:\n"                                                \
    "        pass\n"

// In a frame of Python code, where frames can be proven.
static PyObject *
start(PyObject *self, PyObject *args)
{
    int frames;
    long long interp;
    (void)self;
    if (!PyArg_ParseTuple(args, "Li", &interp, &frames)) {
        return NULL;
    }
    int err = pimalloc_trace_start(interp, (unsigned)frames);
    if (err != 0) {
        FAIL("no trace: %d, %s", err, pimalloc_trace_why());
    }
    Py_RETURN_NONE;
}

static PyMethodDef start_def = {"start", start, METH_VARARGS, NULL};

static void
start_trace(int64_t interp, int frames)
{
    PyObject *function = PyCFunction_New(&start_def, NULL);
    PyObject *main = PyImport_AddModule("__main__");
    EXPECT(PyObject_SetAttrString(main, "start", function) == 0);
    Py_DECREF(function);
    char code[64];
    snprintf(code, sizeof(code), "start(%lld, %d); del start",
             (long long)interp, frames);
    embed_run(code);
}

static pimalloc_trace_figures
figures(int64_t interp)
{
    pimalloc_trace_figures f = {.size = sizeof(f)};
    EXPECT_EQ(pimalloc_trace_get(interp, &f), 0);
    return f;
}

// --- many --------------------------------------------------------------------

static _Atomic unsigned begun;

static void *
interpreters_come_and_go(void *arg)
{
    budget time = budget_open();
    for (int i = 0; i < INTERPRETERS / THREADS; i++) {
        if (!budget_is_left(&time)) {
            break; // by time, on a slow machine
        }
        begun++;
        embed_guest guest;
        embed_enter(&guest, EMBED_OWN_GIL);
        if (PY_314_OR_NEWER) {
            EXPECT_EQ(pimalloc_policy_set(embed_interp_id(), 1 + i % 3), 0);
        }
        embed_run(WORK);
        if (i % 10 == (int)(uintptr_t)arg) {
            EXPECT_GT(figures(embed_interp_id()).live_blocks, 500);
        }
        embed_leave(&guest);
    }
    return NULL;
}

typedef struct sums {
    uint64_t blocks;
    uint64_t bytes;
    uint64_t of_others; // not of main, of mem and obj
} sums;

static int
count(void *arg, const pimalloc_traced *block)
{
    sums *s = arg;
    s->blocks++;
    s->bytes += block->bytes;
    s->of_others += block->interp != 0 && block->domain != PIMALLOC_RAW;
    return 0;
}

// What the accounts say that others than main have of mem and obj.
static uint64_t
live_of_others(void)
{
    int64_t ids[1024] = {PIMALLOC_PROCESS};
    size_t n = 1 + pimalloc_interpreters(ids + 1, 1023);
    uint64_t blocks = 0;
    for (size_t i = 0; i < n; i++) {
        pimalloc_snapshot s = embed_stats(ids[i]);
        if (ids[i] != 0 && s.state != PIMALLOC_ENDED) {
            blocks += s.domain[PIMALLOC_MEM].live_blocks +
                      s.domain[PIMALLOC_OBJ].live_blocks;
        }
    }
    return blocks;
}

// CPython leaves blocks when an interpreter ends, up to 3.13 thousands.  They are
// traced as the process's, as they are in its account.
CASE(a_thousand_interpreters_under_all_hooks)
{
    embed_skip_if_vanilla("nothing is traced");
    embed_start();
    uint64_t before = live_of_others();
    start_trace(PIMALLOC_EACH, 5);
    EXPECT_EQ(pimalloc_profile_start(16384, 20), 0);
    pimalloc_fault fault = {.size = sizeof(fault),
                            .every = 2,
                            .interp = PIMALLOC_EACH,
                            .min_size = 777000,
                            .max_size = 778000};
    int rule = pimalloc_fault_add(&fault);
    EXPECT_GT(rule, 0);
    crowd_run(interpreters_come_and_go, THREADS);
    uint64_t matched = 0;
    uint64_t failed = 0;
    EXPECT_EQ(pimalloc_fault_remove(rule, &matched, &failed), 0);
    EXPECT_EQ(matched, 20 * (uint64_t)begun);
    EXPECT_EQ(failed, matched / 2);
    pimalloc_profile_figures profile = {.size = sizeof(profile)};
    EXPECT_EQ(pimalloc_profile_get(&profile), 0);
    EXPECT_GT(profile.samples, begun);
    EXPECT_EQ(pimalloc_profile_stop(), 0);
    int64_t ids[512];
    size_t n = pimalloc_interpreters(ids, 512);
    for (size_t i = 0; i < n; i++) {
        if (embed_stats(ids[i]).state == PIMALLOC_ENDED) {
            EXPECT_EQ(figures(ids[i]).live_blocks, 0);
        }
    }
    pimalloc_trace_figures all = figures(PIMALLOC_EACH);
    sums walked = {0};
    EXPECT_EQ(pimalloc_trace_walk(PIMALLOC_EACH, count, &walked), 0);
    printf("%u interpreters; left %llu blocks, of which are not main's %llu\n",
           (unsigned)begun, (unsigned long long)all.live_blocks,
           (unsigned long long)walked.of_others);
    EXPECT_EQ(all.lost, 0);
    EXPECT_EQ(all.live_blocks, walked.blocks);
    EXPECT_EQ(all.live_bytes, walked.bytes);
    EXPECT_EQ(walked.of_others, live_of_others() - before);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    EXPECT_LE(figures(PIMALLOC_EACH).table_bytes,
              1 << 20); // the profile's stacks
    embed_stop();
}

// --- one that ends -----------------------------------------------------------

CASE(an_interpreter_ends_while_it_is_traced)
{
    embed_skip_if_vanilla("nothing is traced");
    embed_start();
    for (int i = 0; i < 40; i++) { // more than there may be at once
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        start_trace(id, 3);
        embed_run(WORK);
        EXPECT_GT(figures(id).live_blocks, 500);
        embed_return(&guest);
        EXPECT_EQ(figures(id).live_blocks, 0);
        EXPECT_EQ(figures(id).frames, 0);
    }
    embed_stop();
}

CASE(a_trace_of_all_outlives_the_runtime)
{
    embed_skip_if_vanilla("nothing is traced");
    embed_start();
    start_trace(PIMALLOC_EACH, 3);
    embed_run(WORK);
    embed_stop();
    EXPECT_EQ(figures(PIMALLOC_EACH).frames, 3);
    embed_start();
    embed_run(WORK);
    EXPECT_GT(figures(0).live_blocks, 500);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    embed_stop();
}

// --- generated code ----------------------------------------------------------

static PyObject *
expect_named(PyObject *self, PyObject *args)
{
    PyObject *object;
    const char *name;
    pimalloc_traced block = {.size = sizeof(block)};
    pimalloc_frame frame;
    size_t total;
    (void)self;
    EXPECT(PyArg_ParseTuple(args, "Os", &object, &name));
    EXPECT_EQ(pimalloc_trace_find(object, &block), 0);
    EXPECT_GE(pimalloc_trace_stack(block.stack, &frame, 1, &total), 1);
    if (strcmp(frame.function, name) != 0) {
        FAIL("%s is called %s", name, frame.function);
    }
    Py_RETURN_NONE;
}

static PyMethodDef expect_def = {"expect", expect_named, METH_VARARGS, NULL};

static void
run_generated_code(void)
{
    PyObject *function = PyCFunction_New(&expect_def, NULL);
    PyObject *main = PyImport_AddModule("__main__");
    EXPECT(PyObject_SetAttrString(main, "expect", function) == 0);
    Py_DECREF(function);
    embed_run("seen = set()\n"
              "for i in range(3000):\n"
              "    space = {}\n"
              "    exec(f'def f{i}(): return bytes(777)', space)\n"
              "    f = space[f'f{i}']\n"
              "    seen.add(id(f.__code__))\n"
              "    expect(f(), f'f{i}')\n"
              "assert len(seen) < 2500, len(seen)\n"
              "del expect\n");
}

CASE(generated_code_has_its_own_name)
{
    embed_skip_if_vanilla("nothing is traced");
    embed_start();
    start_trace(PIMALLOC_EACH, 2);
    run_generated_code();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    run_generated_code();
    embed_return(&guest);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    start_trace(0, 2); // and where its code was there before
    run_generated_code();
    EXPECT_EQ(pimalloc_trace_stop(0), 0);
    embed_stop();
}

// --- forks -------------------------------------------------------------------

static void
be_child(void)
{
    embed_run(WORK);
    EXPECT_GT(figures(0).live_blocks, 500);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    EXPECT_EQ(figures(PIMALLOC_EACH).table_bytes, 0);
    embed_run(WORK);
    _exit(0);
}

CASE(a_child_goes_on)
{
    char text[1000];
    embed_skip_if_vanilla("nothing is traced");
    embed_start();
    start_trace(PIMALLOC_EACH, 3);
    embed_run(WORK);
    int status = embed_in_child(be_child, text, sizeof(text));
    if (status != 0) {
        FAIL("%d: %s", status, text);
    }
    embed_stop();
}

CASE_ENV(the_environment_begins_one, "PIMALLOC_TRACE=4")
{
    embed_skip_if_vanilla("nothing is traced");
    embed_start();
    EXPECT_EQ(figures(PIMALLOC_EACH).frames, 4);
    EXPECT_GT(figures(0).live_blocks, 500);
    EXPECT_EQ(pimalloc_trace_stop(PIMALLOC_EACH), 0);
    embed_stop();
}
