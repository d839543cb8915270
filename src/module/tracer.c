// tracer.c -- see tracer.h.
//
// The stable ABI of 3.12 has no such functions, so they are looked up.

#define _GNU_SOURCE

#include "module/tracer.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

enum { CREATED = 0 }; // PyRefTracer_CREATE

typedef int (*tracer_function)(PyObject *object, int event, void *data);

typedef struct slot {
    int (*set)(tracer_function function, void *data);
    tracer_function (*get)(void **data);
} slot;

static __typeof__(pimalloc_trace_relabel) *_Atomic relabel;

// Called with the GIL of the object's interpreter, of every interpreter.
static int
see(PyObject *object, int event, void *data)
{
    (void)data;
    if (event == CREATED) {
        atomic_load_explicit(&relabel, memory_order_relaxed)(object);
    }
    return 0;
}

static bool
find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool
find_slot(slot *out)
{
    return find("PyRefTracer_SetTracer", &out->set) &&
           find("PyRefTracer_GetTracer", &out->get);
}

bool
pim_tracer_is_free(void)
{
    slot s;
    void *data;
    if (!find_slot(&s)) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "relabel needs CPython 3.13 or newer: before, nobody is "
            "told of objects from free lists");
        return false;
    }
    tracer_function now = s.get(&data);
    if (now != NULL && now != see) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "relabel needs the interpreter's reference tracer, which "
            "is taken, by tracemalloc or another tool");
        return false;
    }
    return true;
}

int
pim_tracer_take(const pim_library *library, int64_t interp)
{
    slot s;
    if (!pim_tracer_is_free() || !find_slot(&s)) {
        return -1;
    }
    atomic_store_explicit(&relabel, library->trace_relabel,
                          memory_order_relaxed);
    return s.set(see, (void *)(intptr_t)interp);
}

void
pim_tracer_give(int64_t interp)
{
    slot s;
    void *data;
    if (find_slot(&s) && s.get(&data) == see && (intptr_t)data == interp) {
        s.set(NULL, NULL);
    }
}
