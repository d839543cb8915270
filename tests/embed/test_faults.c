// test_faults.c -- requests that fail on purpose, in real Pythons: what asked gets
// MemoryError, and CPython lives on.
//
// A debug build asserts in places where memory runs out (docs/tenants.md), so there
// fewer rules are tried.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pimalloc/hooks.h>

#include "support/crowd.h"
#include "support/embed.h"

#define RULES 200

// Works, is refused, goes on, and says how often it came through.
#define WORK                                                                   \
    "import json\n"                                                            \
    "def tree(n):\n"                                                           \
    "    return {'n': n, 'sub': [tree(i) for i in range(n)]}\n"                \
    "def words():\n"                                                           \
    "    for i in range(60):\n"                                                \
    "        yield f'{i}-{i * i}'\n"                                           \
    "class Point:\n"                                                           \
    "    def __init__(self, x):\n"                                             \
    "        self.x = x\n"                                                     \
    "def work():\n"                                                            \
    "    text = json.dumps(tree(4))\n"                                         \
    "    assert json.dumps(json.loads(text)) == text\n"                        \
    "    table = {word: Point(word) for word in words()}\n"                    \
    "    assert sorted(p.x for p in table.values()) == sorted(table)\n"        \
    "    big = list(range(3000))\n"                                            \
    "    big.extend(reversed(big))\n"                                          \
    "    assert sum(big) == 3000 * 2999\n"                                     \
    "    return len(''.join(words()).encode())\n"                              \
    "def attempt():\n"                                                         \
    "    try:\n"                                                               \
    "        return work()\n"                                                  \
    "    except MemoryError:\n"                                                \
    "        return None\n"                                                    \
    "want = work()\n"

static pimalloc_fault
fault_of(int64_t interp)
{
    return (pimalloc_fault){.size = sizeof(pimalloc_fault), .interp = interp};
}

static int
add(const pimalloc_fault *fault)
{
    int handle = pimalloc_fault_add(fault);
    EXPECT_GT(handle, 0);
    return handle;
}

// A program that may run out of memory anywhere.
typedef struct program {
    PyObject *code;
    PyObject *globals;
} program;

static program
compile(const char *code)
{
    program p = {Py_CompileString(code, "<program>", Py_file_input),
                 PyModule_GetDict(PyImport_AddModule("__main__"))};
    EXPECT(p.code != NULL);
    return p;
}

// A few functions of CPython's say that they failed and do not set MemoryError, of
// which CPython makes SystemError.
static bool
is_of_memory(PyObject *error)
{
    return PyErr_GivenExceptionMatches(error, PyExc_MemoryError) ||
           (PyErr_GivenExceptionMatches(error, PyExc_SystemError) &&
            !PY_314_OR_NEWER);
}

static void
run(const program *p)
{
    PyObject *done = PyEval_EvalCode(p->code, p->globals, p->globals);
    if (done == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        if (!is_of_memory(error)) {
            PyErr_DisplayException(error);
            FAIL("it is another error");
        }
        Py_DECREF(error);
    }
    Py_XDECREF(done);
}

// One rule for as long as the work takes three times.  Returns what failed.
static uint64_t
work_under(const pimalloc_fault *fault)
{
    uint64_t matched;
    uint64_t failed;
    program attempt = compile("attempt()");
    int handle = add(fault);
    for (int i = 0; i < 3; i++) {
        run(&attempt);
    }
    EXPECT_EQ(pimalloc_fault_remove(handle, &matched, &failed), 0);
    EXPECT_GE(matched, failed);
    Py_DECREF(attempt.code);
    embed_run("assert work() == want\n");
    return failed;
}

// Debug builds have assertions that do not hold where memory ran out, in
// _PyEval_EvalFrameDefault() (3.13) and _Py_Dealloc() (3.15).
static void
skip_where_asserted(void)
{
    if (PY_IS_DEBUG) {
        embed_skip("this build asserts that memory does not run out");
    }
}

CASE(every_nth_fails_and_the_program_goes_on)
{
    skip_where_asserted();
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    embed_run(WORK);
    pimalloc_fault fault = fault_of(0);
    uint64_t failed = 0;
    for (fault.every = 1; fault.every <= RULES; fault.every++) {
        failed += work_under(&fault);
    }
    EXPECT_GT(failed, RULES);
    embed_stop();
}

CASE(each_request_fails_once_and_the_program_goes_on)
{
    skip_where_asserted();
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    embed_run(WORK);
    pimalloc_fault fault = fault_of(0);
    uint64_t failed = 1;
    for (fault.nth = 1; failed != 0 && fault.nth < 4000;) {
        failed = work_under(&fault);
        fault.nth += 1 + fault.nth / 50;
    }
    embed_stop();
}

CASE(some_fail_by_chance_and_the_program_goes_on)
{
    skip_where_asserted();
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    embed_run(WORK);
    pimalloc_fault fault = fault_of(0);
    fault.probability = 0.002;
    fault.domains = PIMALLOC_FAULT_MEM | PIMALLOC_FAULT_OBJ;
    for (fault.seed = 0; fault.seed < RULES; fault.seed++) {
        work_under(&fault);
    }
    embed_stop();
}

// --- interpreters --------------------------------------------------------------

CASE(interpreters_are_made_and_end_under_a_rule)
{
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    pimalloc_fault fault = fault_of(PIMALLOC_EACH);
    for (fault.every = 1; fault.every <= RULES; fault.every += 7) {
        PyThreadState *outer = PyThreadState_Get();
        int handle = add(&fault);
        PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
        program first = compile("x = {str(i): [i] for i in range(1000)}");
        run(&first);
        PyThreadState_Swap(outer);
        PyThreadState_Swap(sub); // now it is taken to be made
        run(&first);
        Py_DECREF(first.code);
        Py_EndInterpreter(sub);
        PyThreadState_Swap(outer);
        EXPECT_EQ(pimalloc_fault_remove(handle, NULL, NULL), 0);
    }
    embed_run("assert sum(range(10)) == 45\n");
    embed_stop();
}

static void *
live_and_fail(void *arg)
{
    embed_guest guest;
    (void)arg;
    for (int i = 0; i < 10; i++) {
        embed_enter(&guest, EMBED_OWN_GIL);
        embed_run(WORK);
        pimalloc_fault fault = fault_of(embed_interp_id());
        fault.every = (uint64_t)(20 + i);
        work_under(&fault);
        program attempt = compile("attempt()");
        int handle = add(&fault); // it ends under this one
        run(&attempt);
        Py_DECREF(attempt.code);
        int64_t id = embed_interp_id();
        embed_leave(&guest);
        EXPECT(id != 0);
        EXPECT_EQ(pimalloc_fault_remove(handle, NULL, NULL), 0);
    }
    return NULL;
}

CASE(interpreters_fail_in_threads_of_their_own)
{
    skip_where_asserted();
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    embed_run(WORK);
    crowd_run(live_and_fail, 2);
    embed_run("assert work() == want\n");
    embed_stop();
}

CASE(python_is_finalised_and_begins_again_under_a_rule)
{
    embed_skip_if_vanilla("there are no faults");
    pimalloc_fault fault = fault_of(0);
    uint64_t matched;
    embed_start();
    embed_run(WORK);
    fault.every = 2;
    int handle = add(&fault);
    embed_stop();
    EXPECT_EQ(pimalloc_fault_counts(handle, &matched, NULL), 0);
    embed_start(); // another main
    embed_run(WORK "assert attempt() == want\n");
    uint64_t last;
    EXPECT_EQ(pimalloc_fault_remove(handle, &last, NULL), 0);
    EXPECT_EQ(last, matched);
    embed_stop();
}

// --- functions -----------------------------------------------------------------

static PyObject *
add_for_function(PyObject *self, PyObject *name)
{
    pimalloc_fault fault = fault_of(0);
    (void)self;
    fault.every = 1;
    fault.min_size = 5000;
    fault.function = PyUnicode_AsUTF8(name);
    return PyLong_FromLong(pimalloc_fault_add(&fault));
}

static PyMethodDef method = {"add", add_for_function, METH_O, NULL};

CASE(requests_fail_while_a_function_is_on_the_stack)
{
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    pimalloc_fault fault = fault_of(0);
    fault.every = 1;
    fault.function = "f";
    EXPECT_EQ(pimalloc_fault_add(&fault), -ENOTSUP); // no code on the stack
    EXPECT_HAS(pimalloc_fault_refusal(), "no Python code was running");
    PyObject *function = PyCFunction_New(&method, NULL);
    PyObject *main = PyImport_AddModule("__main__");
    EXPECT_EQ(PyModule_AddObjectRef(main, "add", function), 0);
    embed_run("class Reader:\n"
              "    def read(self):\n"
              "        return fill()\n"
              "def fill():\n"
              "    return len(bytes(6000))\n"
              "def deep(n):\n"
              "    return deep(n - 1) if n else Reader().read()\n"
              "handle = add('Reader.read')\n"
              "assert handle > 0, handle\n"
              "assert fill() == 6000\n"
              "for call in (Reader().read, lambda: deep(100)):\n"
              "    try:\n"
              "        call()\n"
              "    except MemoryError:\n"
              "        continue\n"
              "    raise AssertionError\n"
              "assert fill() == 6000\n");
    int handle = (int)embed_eval("handle");
    uint64_t matched;
    uint64_t failed;
    EXPECT_EQ(pimalloc_fault_remove(handle, &matched, &failed), 0);
    EXPECT_EQ(failed, 2);
    EXPECT_EQ(matched, 2);
    EXPECT(pimalloc_fault_refusal() == NULL);
    embed_run("assert Reader().read() == 6000\n");
    Py_DECREF(function);
    embed_stop();
}

// --- the environment -----------------------------------------------------------

CASE_ENV(rules_of_the_environment_hold_when_python_runs,
         "PIMALLOC_FAULTS=every=1,min_size=600K,max_size=601K")
{
    embed_skip_if_vanilla("there are no faults");
    embed_start();
    embed_run("try:\n"
              "    bytes(600 << 10)\n"
              "except MemoryError:\n"
              "    pass\n"
              "else:\n"
              "    raise AssertionError\n"
              "bytes(700 << 10)\n");
    embed_stop();
    embed_start(); // and again
    embed_run("try:\n"
              "    bytes(600 << 10)\n"
              "except MemoryError:\n"
              "    pass\n"
              "else:\n"
              "    raise AssertionError\n");
    embed_stop();
}

static void
start_and_stop(void)
{
    embed_start();
    embed_run("assert len(bytes(600 << 10)) == 600 << 10\n");
    embed_stop();
}

CASE_ENV(bad_rules_are_told_of_and_python_runs, "PIMALLOC_FAULTS=every=x")
{
    char text[1000];
    embed_skip_if_vanilla("there are no faults");
    EXPECT_EQ(embed_in_child(start_and_stop, text, sizeof(text)), 0);
    EXPECT_HAS(text, "pimalloc: bad value in PIMALLOC_FAULTS=every=x; valid is "
                     "KEY=VALUE");
}
