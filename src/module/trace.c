// trace.c -- see trace.h.

#include "module/trace.h"

#include <errno.h>

#include "module/arguments.h"
#include "module/figures.h"
#include "module/module_state.h"
#include "module/snapshot.h"
#include "module/tracer.h"

// --- arguments ---------------------------------------------------------------

// The interpreter whose memory that one uses: a legacy interpreter's is main's.
// -1 with ValueError set: there is no such living one.
static int
find_living(const pim_library *library, int64_t *interp)
{
    pimalloc_snapshot known = {.size = sizeof(known)};
    if (*interp == PIMALLOC_EACH || *interp == PIMALLOC_PROCESS) {
        return 0;
    }
    if (library->stats(*interp, &known) != 0 || known.state != PIMALLOC_ALIVE) {
        pim_figures_unknown(*interp);
        return -1;
    }
    *interp = known.interp;
    return 0;
}

// The argument `interp` of a function that takes no other.  NULL with an
// exception set.
static const pim_library *
take_interp(PyObject *module, PyObject *args, PyObject *kwargs,
            const char *format, int64_t *interp)
{
    const pim_library *library = pim_library_of(module);
    PyObject *argument =
        library != NULL ? pim_only_interp(args, kwargs, format) : NULL;
    *interp = pim_own_interp();
    if (argument == NULL || !pim_interp_or_none(argument, interp)) {
        return NULL;
    }
    if (find_living(library, interp) != 0) {
        PyErr_Clear(); // it has ended, or asked for nothing yet
    }
    return library;
}

static pimalloc_trace_figures
figures_of(const pim_library *library, int64_t interp)
{
    pimalloc_trace_figures figures = {.size = sizeof(figures)};
    library->trace_get(interp, &figures);
    return figures;
}

static void
raise_error(const pim_library *library, int err)
{
    const char *why = library->trace_why();
    switch (err) {
    case -ENOMEM:
        PyErr_NoMemory();
        break;
    case -EINVAL:
        PyErr_Format(PyExc_ValueError,
                     "nframe must be 1 to %d, and interp one that there is",
                     PIMALLOC_TRACE_FRAMES_MAX);
        break;
    case -EALREADY:
        PyErr_SetString(PyExc_RuntimeError,
                        "a trace of it, or of all, runs already");
        break;
    case -ENOTSUP:
        PyErr_Format(PyExc_RuntimeError, "there are no stacks to trace by: %s",
                     why != NULL ? why : "nobody knows why");
        break;
    default:
        PyErr_SetString(PyExc_RuntimeError,
                        err == -ENOSPC
                            ? "too many hooks or traces are on"
                            : "a thread does not come out of a hook");
    }
}

// --- functions ---------------------------------------------------------------

PyDoc_STRVAR(
    trace_start_doc,
    "trace_start($module, /, nframe=1, *, interp=None, relabel=False)\n"
    "--\n"
    "\n"
    "Trace what is allocated from now on, as tracemalloc.start() does.\n"
    "\n"
    "nframe: how many frames of each stack are kept, up to 256.\n"
    "interp: as in stats(); None is the calling interpreter, PROCESS what\n"
    "belongs to none, EACH all of these and those to come.\n"
    "relabel: an object that CPython takes from a free list is traced as\n"
    "allocated by who gets it, as by tracemalloc.  Needs CPython 3.13, and\n"
    "its reference tracer, which nobody else may use meanwhile.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if it is traced already, or frames\n"
    "cannot be read, or relabel is not possible; ValueError; TypeError.");

static PyObject *
trace_start(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char nframe_name[] = "nframe";
    static char interp_name[] = "interp";
    static char relabel_name[] = "relabel";
    static char *names[] = {nframe_name, interp_name, relabel_name, NULL};
    int nframe = 1;
    int relabel = 0;
    int64_t interp = pim_own_interp();
    const pim_library *library = pim_library_of(module);
    if (library == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|i$O&p:trace_start", names,
                                     &nframe, pim_interp_or_none, &interp,
                                     &relabel) ||
        find_living(library, &interp) != 0 ||
        (relabel != 0 && !pim_tracer_is_free())) {
        return NULL;
    }
    int err = library->trace_start(interp, nframe > 0 ? (unsigned)nframe : 0);
    if (err != 0) {
        raise_error(library, err);
        return NULL;
    }
    if (relabel != 0 && pim_tracer_take(library, interp) != 0) {
        library->trace_stop(interp);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    trace_stop_doc,
    "trace_stop($module, /, interp=None)\n"
    "--\n"
    "\n"
    "End a trace and forget what was traced.\n"
    "\n"
    "interp: as it was started with.  Without a trace nothing happens.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if it is traced with all others,\n"
    "which EACH stops, or a thread stays in a hook; TypeError.");

static PyObject *
trace_stop(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    const pim_library *library =
        take_interp(module, args, kwargs, "|O:trace_stop", &interp);
    if (library == NULL) {
        return NULL;
    }
    pim_tracer_give(interp);
    int err = library->trace_stop(interp);
    if (err == -ENOENT && figures_of(library, interp).frames != 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "it is traced with all others; "
                        "trace_stop(pimalloc.EACH) stops that");
        return NULL;
    }
    if (err != 0 && err != -ENOENT) {
        raise_error(library, err);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_tracing_doc,
             "is_tracing($module, /, interp=None)\n"
             "--\n"
             "\n"
             "Return whether an interpreter is traced, by itself or with all.\n"
             "\n"
             "interp: as in trace_start().\n"
             "\n"
             "Raises NotActiveError; TypeError.");

static PyObject *
is_tracing(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    const pim_library *library =
        take_interp(module, args, kwargs, "|O:is_tracing", &interp);
    return library != NULL
               ? PyBool_FromLong(figures_of(library, interp).frames != 0)
               : NULL;
}

PyDoc_STRVAR(
    clear_traces_doc,
    "clear_traces($module, /, interp=None)\n"
    "--\n"
    "\n"
    "Forget what was traced so far, and go on tracing.\n"
    "\n"
    "interp: as the trace was started with.  What other threads allocate\n"
    "during the call may count as before.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if no such trace runs, or a thread\n"
    "stays in a hook, and then the trace has ended; TypeError.");

static PyObject *
clear_traces(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    const pim_library *library =
        take_interp(module, args, kwargs, "|O:clear_traces", &interp);
    int err = library != NULL ? library->trace_clear(interp) : 0;
    if (err == -ENOENT) {
        PyErr_SetString(PyExc_RuntimeError, "no such trace runs");
    } else if (err != 0) {
        raise_error(library, err);
    }
    return library != NULL && err == 0 ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(
    get_traced_memory_doc,
    "get_traced_memory($module, /, interp=None)\n"
    "--\n"
    "\n"
    "Return the size of all traced blocks now and at their peak, in bytes.\n"
    "\n"
    "interp: as in trace_start(); EACH: the sums, also of peaks.  Without a\n"
    "trace (0, 0).\n"
    "\n"
    "Raises NotActiveError; TypeError.");

static PyObject *
get_traced_memory(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    const pim_library *library =
        take_interp(module, args, kwargs, "|O:get_traced_memory", &interp);
    if (library == NULL) {
        return NULL;
    }
    pimalloc_trace_figures figures = figures_of(library, interp);
    return Py_BuildValue("(KK)", (unsigned long long)figures.live_bytes,
                         (unsigned long long)figures.peak_bytes);
}

PyDoc_STRVAR(reset_peak_doc,
             "reset_peak($module, /, interp=None)\n"
             "--\n"
             "\n"
             "Set the peak of get_traced_memory() to what is traced now.\n"
             "\n"
             "interp: as in trace_start().\n"
             "\n"
             "Raises NotActiveError; TypeError.");

static PyObject *
reset_peak(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    const pim_library *library =
        take_interp(module, args, kwargs, "|O:reset_peak", &interp);
    if (library == NULL) {
        return NULL;
    }
    library->trace_reset_peak(interp);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_trace_memory_doc,
             "get_trace_memory($module, /)\n"
             "--\n"
             "\n"
             "Return how many bytes the tables of all traces take.\n"
             "\n"
             "Raises NotActiveError.");

static PyObject *
get_trace_memory(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    return library != NULL ? PyLong_FromUnsignedLongLong(
                                 figures_of(library, PIMALLOC_EACH).table_bytes)
                           : NULL;
}

PyDoc_STRVAR(
    get_object_traceback_doc,
    "get_object_traceback($module, obj, /)\n"
    "--\n"
    "\n"
    "Return where the object was allocated, as a tracemalloc.Traceback.\n"
    "\n"
    "None: its block is not traced.\n"
    "\n"
    "Raises NotActiveError.");

static PyObject *
get_object_traceback(PyObject *module, PyObject *object)
{
    const pim_library *library = pim_library_of(module);
    return library != NULL ? pim_snapshot_traceback(library, object) : NULL;
}

PyDoc_STRVAR(
    take_snapshot_doc,
    "take_snapshot($module, /, interp=None)\n"
    "--\n"
    "\n"
    "Return what is traced now as a tracemalloc.Snapshot.\n"
    "\n"
    "interp: as in trace_start().  Of an interpreter other than the calling\n"
    "one it is no single moment, if that one runs.\n"
    "\n"
    "Works in interpreters in which tracemalloc itself cannot be imported.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if it is not traced; MemoryError;\n"
    "TypeError.");

static PyObject *
take_snapshot(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    const pim_library *library =
        take_interp(module, args, kwargs, "|O:take_snapshot", &interp);
    if (library == NULL) {
        return NULL;
    }
    unsigned frames = figures_of(library, interp).frames;
    if (frames == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "it is not traced; trace_start() begins that");
        return NULL;
    }
    return pim_snapshot_take(library, interp, frames);
}

static PyMethodDef methods[] = {
    {"trace_start", PIM_WITH_KEYWORDS(trace_start),
     METH_VARARGS | METH_KEYWORDS, trace_start_doc},
    {"trace_stop", PIM_WITH_KEYWORDS(trace_stop), METH_VARARGS | METH_KEYWORDS,
     trace_stop_doc},
    {"is_tracing", PIM_WITH_KEYWORDS(is_tracing), METH_VARARGS | METH_KEYWORDS,
     is_tracing_doc},
    {"clear_traces", PIM_WITH_KEYWORDS(clear_traces),
     METH_VARARGS | METH_KEYWORDS, clear_traces_doc},
    {"get_traced_memory", PIM_WITH_KEYWORDS(get_traced_memory),
     METH_VARARGS | METH_KEYWORDS, get_traced_memory_doc},
    {"reset_peak", PIM_WITH_KEYWORDS(reset_peak), METH_VARARGS | METH_KEYWORDS,
     reset_peak_doc},
    {"get_trace_memory", get_trace_memory, METH_NOARGS, get_trace_memory_doc},
    {"get_object_traceback", get_object_traceback, METH_O,
     get_object_traceback_doc},
    {"take_snapshot", PIM_WITH_KEYWORDS(take_snapshot),
     METH_VARARGS | METH_KEYWORDS, take_snapshot_doc},
    {NULL, NULL, 0, NULL},
};

int
pim_trace_add(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
