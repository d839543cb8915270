// moments.c -- see moments.h.
//
//   thread of ours, until CPython is initialised --Py_AddPendingCall()--> main
//   thread: the calls
//
// Nothing tells that CPython is initialised, and within a request for memory,
// where we are called, no function of CPython's may be.  Hence the thread, which
// is there for the start only.

#define _GNU_SOURCE

#include "cpython/moments.h"

#include <Python.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "cpython/symbols.h"
#include "platform/worker.h"

#define STACK_BYTES ((size_t)128 << 10)

// How long the thread sleeps, ever longer: short programs are over soon, and some
// take their time before they begin with Python.
#define SLEEP_MIN_NS 2000000L
#define SLEEP_MAX_NS 100000000L

static bool (*_Atomic calls[PIM_CALLS_SOON])(void);
static _Atomic bool queued; // CPython knows of them

static bool
find(const char *name, void *function)
{
    void *symbol = pim_py_symbol(name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

// --- soon --------------------------------------------------------------------

static int
call_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < PIM_CALLS_SOON; i++) {
        bool (*call)(void) = pim_load_acquire(&calls[i]);
        if (call != NULL && call()) {
            pim_store_release(&calls[i], NULL);
        }
    }
    pim_store_release(&queued, false);
    return 0;
}

static bool
are_left(void)
{
    bool any = false;
    for (unsigned i = 0; i < PIM_CALLS_SOON; i++) {
        any = any || pim_load_acquire(&calls[i]) != NULL;
    }
    return any;
}

static void *
wait_for_python(void *arg)
{
    int (*add)(int (*)(void *), void *);
    long ns = SLEEP_MIN_NS;
    if (!find("Py_AddPendingCall", &add)) {
        return arg;
    }
    while (are_left()) {
        struct timespec pause = {.tv_nsec = ns};
        nanosleep(&pause, NULL);
        ns = ns < SLEEP_MAX_NS ? ns + ns / 32 : SLEEP_MAX_NS;
        if (pim_py.is_initialized() && !atomic_exchange(&queued, true) &&
            add(call_all, NULL) != 0) {
            pim_store_release(&queued, false);
        }
    }
    return arg;
}

int
pim_py_call_soon(bool (*call)(void))
{
    pthread_t thread;
    unsigned i = 0;
    while (i < PIM_CALLS_SOON && pim_load_relaxed(&calls[i]) != NULL) {
        i++;
    }
    if (i == PIM_CALLS_SOON) {
        return -ENOSPC;
    }
    pim_store_release(&calls[i], call);
    int err = pim_worker_start(&thread, "pimalloc-start", STACK_BYTES,
                               wait_for_python);
    if (err != 0) {
        pim_store_relaxed(&calls[i], NULL);
        return err;
    }
    return -pthread_detach(thread);
}

// --- at exit -----------------------------------------------------------------

static void (*exit_call)(void);
static void (*retain)(PyObject *);

static PyObject *
call_at_exit(PyObject *self, PyObject *module)
{
    (void)self;
    exit_call();
    retain(module);
    return module;
}

bool
pim_py_call_at_exit(void (*call)(void))
{
    static PyMethodDef definition = {"write_profile", call_at_exit, METH_O,
                                     NULL};
    PyObject *(*import)(const char *);
    PyObject *(*make)(PyMethodDef *, PyObject *, PyObject *);
    PyObject *(*method)(PyObject *, const char *, const char *, ...);
    void (*clear_error)(void);
    void (*release)(PyObject *);
    if (exit_call != NULL || !find("PyImport_ImportModule", &import) ||
        !find("PyCFunction_NewEx", &make) ||
        !find("PyObject_CallMethod", &method) ||
        !find("PyErr_Clear", &clear_error) || !find("Py_DecRef", &release) ||
        !find("Py_IncRef", &retain)) {
        return false;
    }
    exit_call = call;
    PyObject *module = import("atexit");
    PyObject *function = module != NULL ? make(&definition, NULL, NULL) : NULL;
    // The module is its argument and result, so that None need not be found.
    PyObject *done = function != NULL
                         ? method(module, "register", "OO", function, module)
                         : NULL;
    bool good = done != NULL;
    PyObject *held[] = {done, function, module};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(held); i++) {
        if (held[i] != NULL) {
            release(held[i]);
        }
    }
    if (!good) {
        clear_error();
        exit_call = NULL;
    }
    return good;
}
