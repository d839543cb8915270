// snapshot.c -- see snapshot.h.
//
// To build objects changes what is traced, so the records are copied first, into
// memory that nobody traces.  Equal stacks become one tuple.

#include "module/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/tracemalloc.h"

// tracemalloc has what CPython's own allocators serve in this domain.
#define DOMAIN 0

typedef struct record {
    uint64_t bytes;
    uint32_t stack;
} record;

typedef struct records {
    record *first;
    size_t count;
    size_t room;
} records;

// --- records -----------------------------------------------------------------

static int
copy_record(void *arg, const pimalloc_traced *block)
{
    records *r = arg;
    if (r->count == r->room) {
        size_t room = r->room == 0 ? 4096 : 2 * r->room;
        record *larger = realloc(r->first, room * sizeof(*larger));
        if (larger == NULL) {
            return -1;
        }
        r->first = larger;
        r->room = room;
    }
    r->first[r->count++] =
        (record){.bytes = block->bytes, .stack = block->stack};
    return 0;
}

static int
by_stack(const void *a, const void *b)
{
    const record *left = a;
    const record *right = b;
    return (left->stack > right->stack) - (left->stack < right->stack);
}

// --- objects -----------------------------------------------------------------

// The str of a file's name, which has one address; borrowed.  `names` has what
// was made so far.
static PyObject *
name_of(PyObject *names, const char *file)
{
    PyObject *key = PyLong_FromVoidPtr((void *)(uintptr_t)file);
    PyObject *name = key != NULL ? PyDict_GetItemWithError(names, key) : NULL;
    if (key != NULL && name == NULL && PyErr_Occurred() == NULL) {
        PyObject *made =
            PyUnicode_DecodeUTF8(file, (Py_ssize_t)strlen(file), "replace");
        if (made != NULL && PyDict_SetItem(names, key, made) == 0) {
            name = made; // the dict has it
        }
        Py_XDECREF(made);
    }
    Py_XDECREF(key);
    return name;
}

// ((file, line), ...), newest first.
static PyObject *
frames_of(const pim_library *library, PyObject *names, uint32_t stack,
          size_t *total)
{
    pimalloc_frame frames[PIMALLOC_TRACE_FRAMES_MAX];
    size_t count =
        library->trace_stack(stack, frames, PIMALLOC_TRACE_FRAMES_MAX, total);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; i < count && tuple != NULL; i++) {
        PyObject *name = name_of(names, frames[i].file);
        PyObject *frame =
            name != NULL ? Py_BuildValue("(Oi)", name, frames[i].line) : NULL;
        if (frame == NULL ||
            PyTuple_SetItem(tuple, (Py_ssize_t)i, frame) != 0) {
            Py_CLEAR(tuple);
        }
    }
    return tuple;
}

// Adds the traces of one stack, which begin at `i`.  Returns where the next
// stack's do, or 0 with an exception set.
static size_t
add_stack(const pim_library *library, PyObject *names, const records *r,
          size_t i, PyObject *traces)
{
    uint32_t stack = r->first[i].stack;
    size_t total = 0;
    PyObject *frames = frames_of(library, names, stack, &total);
    bool well = frames != NULL;
    for (; well && i < r->count && r->first[i].stack == stack; i++) {
        PyObject *trace = Py_BuildValue("(iKOn)", DOMAIN,
                                        (unsigned long long)r->first[i].bytes,
                                        frames, (Py_ssize_t)total);
        well =
            trace != NULL && PyList_SetItem(traces, (Py_ssize_t)i, trace) == 0;
    }
    Py_XDECREF(frames);
    return well ? i : 0;
}

static PyObject *
traces_of(const pim_library *library, const records *r)
{
    PyObject *names = PyDict_New();
    PyObject *traces = PyList_New((Py_ssize_t)r->count);
    bool well = names != NULL && traces != NULL;
    for (size_t i = 0; well && i < r->count;) {
        i = add_stack(library, names, r, i, traces);
        well = i != 0;
    }
    Py_XDECREF(names);
    if (!well) {
        Py_CLEAR(traces);
    }
    return traces;
}

// Takes over the memory of the records.
static PyObject *
snapshot_of(const pim_library *library, records *r, unsigned frames)
{
    if (r->count != 0) {
        qsort(r->first, r->count, sizeof(*r->first), by_stack);
    }
    PyObject *traces = traces_of(library, r);
    free(r->first);
    PyObject *type = traces != NULL ? pim_tracemalloc_class("Snapshot") : NULL;
    PyObject *snapshot =
        type != NULL ? PyObject_CallFunction(type, "OI", traces, frames) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(traces);
    return snapshot;
}

PyObject *
pim_snapshot_take(const pim_library *library, int64_t interp, unsigned frames)
{
    records r = {.first = NULL};
    PyObject *snapshot = NULL;
    library->trace_hold();
    if (library->trace_walk(interp, copy_record, &r) == 0) {
        snapshot = snapshot_of(library, &r, frames);
    } else {
        free(r.first);
        PyErr_NoMemory();
    }
    library->trace_release();
    return snapshot;
}

PyObject *
pim_snapshot_of_profile(const pim_library *library)
{
    records r = {.first = NULL};
    int err = library->profile_walk(copy_record, &r);
    if (err == 0) {
        return snapshot_of(library, &r, PIMALLOC_TRACE_FRAMES_MAX);
    }
    free(r.first);
    if (err == -ESRCH) {
        PyErr_SetString(PyExc_RuntimeError,
                        "there is no profile; profile_start() begins one");
        return NULL;
    }
    return PyErr_NoMemory();
}

PyObject *
pim_snapshot_traceback(const pim_library *library, PyObject *object)
{
    pimalloc_traced block = {.size = sizeof(block)};
    PyObject *frames = NULL;
    size_t total = 0;
    library->trace_hold();
    bool found = library->trace_find(object, &block) == 0;
    PyObject *names = found ? PyDict_New() : NULL;
    if (names != NULL) {
        frames = frames_of(library, names, block.stack, &total);
    }
    library->trace_release();
    Py_XDECREF(names);
    if (!found) {
        Py_RETURN_NONE;
    }
    PyObject *type = frames != NULL ? pim_tracemalloc_class("Traceback") : NULL;
    PyObject *traceback =
        type != NULL
            ? PyObject_CallFunction(type, "On", frames, (Py_ssize_t)total)
            : NULL;
    Py_XDECREF(type);
    Py_XDECREF(frames);
    return traceback;
}
