// profile.c -- where memory comes from, from Python.
//
// A profile is of all interpreters, and any of them may begin, save and end it.

#include "module/profile.h"

#include <errno.h>
#include <string.h>

#include "module/arguments.h"
#include "module/module_state.h"
#include "module/snapshot.h"

// Sets the exception for what a function returned; NULL.
static PyObject *
fail(int err)
{
    switch (err) {
    case -ENOMEM:
        return PyErr_NoMemory();
    case -EALREADY:
        PyErr_SetString(PyExc_RuntimeError,
                        "a profile runs already; profile_stop() ends it");
        break;
    case -ESRCH:
        PyErr_SetString(PyExc_RuntimeError,
                        "there is no profile; profile_start() begins one");
        break;
    case -ENOTSUP:
        PyErr_SetString(PyExc_RuntimeError,
                        "this build of pimalloc counts nothing, so it cannot "
                        "take samples");
        break;
    default:
        PyErr_SetString(PyExc_ValueError,
                        "period must be 1024 to 1099511627776 bytes, frames 1 "
                        "to 256");
    }
    return NULL;
}

// A number above 0, in range or not.
static bool
is_above_0(long long number, const char *name)
{
    if (number <= 0) {
        PyErr_Format(PyExc_ValueError, "%s must be above 0", name);
    }
    return number > 0;
}

PyDoc_STRVAR(
    profile_start_doc,
    "profile_start($module, /, period=524288, frames=64)\n"
    "--\n"
    "\n"
    "Begin a profile: find out where memory comes from, by samples.\n"
    "\n"
    "period: mean bytes between two samples, 1 KiB to 1 TiB.  The fewer, the\n"
    "more exact, and the slower.\n"
    "frames: so many of a stack, the newest, up to 256.\n"
    "\n"
    "All interpreters are sampled.  An earlier profile is forgotten.  Where\n"
    "stacks cannot be read a RuntimeWarning says why, and samples have none.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if one runs; ValueError; TypeError;\n"
    "OverflowError; MemoryError.");

static PyObject *
profile_start(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char period_name[] = "period";
    static char frames_name[] = "frames";
    static char *names[] = {period_name, frames_name, NULL};
    long long period = PIMALLOC_PROFILE_PERIOD;
    int frames = PIMALLOC_PROFILE_FRAMES;
    const pim_library *library = pim_library_of(module);
    if (library == NULL || !pim_is_main("has profiles made") ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|Li:profile_start", names,
                                     &period, &frames) ||
        !is_above_0(period, period_name) || !is_above_0(frames, frames_name)) {
        return NULL;
    }
    int err = library->profile_start((uint64_t)period, (unsigned)frames);
    if (err != 0) {
        return fail(err);
    }
    const char *why = library->profile_why();
    if (why != NULL &&
        PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                         "the profile has no stacks: %s", why) != 0) {
        library->profile_stop();
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(profile_stop_doc,
             "profile_stop($module, /)\n"
             "--\n"
             "\n"
             "End the profile.  What it noted can still be saved.\n"
             "\n"
             "Raises NotActiveError; RuntimeError if none runs.");

static PyObject *
profile_stop(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    if (library == NULL || !pim_is_main("has profiles made")) {
        return NULL;
    }
    int err = library->profile_stop();
    if (err != 0) {
        return fail(err);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    profile_doc,
    "profile($module, /)\n"
    "--\n"
    "\n"
    "Return the figures of the profile as a dict.\n"
    "\n"
    "Keys: period, in bytes (None: no profile runs); samples, taken since it\n"
    "began; dropped, those of them for which there was no room; live_bytes\n"
    "and total_bytes, estimated, of blocks that were asked for since it\n"
    "began.\n"
    "\n"
    "Raises NotActiveError.");

static PyObject *
profile(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    pimalloc_profile_figures f = {.size = sizeof(f)};
    if (library == NULL) {
        return NULL;
    }
    library->profile_get(&f);
    PyObject *period = f.period != 0 ? PyLong_FromUnsignedLongLong(f.period)
                                     : Py_NewRef(Py_None);
    return Py_BuildValue("{sNsKsKsKsK}", "period", period, "samples",
                         (unsigned long long)f.samples, "dropped",
                         (unsigned long long)f.dropped, "live_bytes",
                         (unsigned long long)f.live_bytes, "total_bytes",
                         (unsigned long long)f.total_bytes);
}

PyDoc_STRVAR(profile_mark_doc,
             "profile_mark($module, /)\n"
             "--\n"
             "\n"
             "Remember what the profile says now.\n"
             "\n"
             "A page that profile_save() writes later compares with it.\n"
             "\n"
             "Raises NotActiveError; RuntimeError if there is no profile;\n"
             "MemoryError.");

static PyObject *
profile_mark(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    if (library == NULL || !pim_is_main("has profiles made")) {
        return NULL;
    }
    int err = library->profile_mark();
    if (err != 0) {
        return fail(err);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    profile_snapshot_doc,
    "profile_snapshot($module, /)\n"
    "--\n"
    "\n"
    "Return what the profile says is live, as a tracemalloc.Snapshot.\n"
    "\n"
    "It has one trace for each stack, interpreter, domain and thread, of the\n"
    "size that its samples stand for; so sizes are right, and counts are not.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if there is no profile; MemoryError.");

static PyObject *
profile_snapshot(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    return library != NULL ? pim_snapshot_of_profile(library) : NULL;
}

PyDoc_STRVAR(
    profile_save_doc,
    "profile_save($module, /, path, format='html')\n"
    "--\n"
    "\n"
    "Write the profile to a file, whole or not at all.\n"
    "\n"
    "path: str, bytes or path-like; %p is the process's id and %% a per cent\n"
    "sign.\n"
    "format: 'html', a page for people, which compares with the moment of\n"
    "profile_mark() if there was one; 'pprof' for go tool pprof; 'folded', a\n"
    "line for each stack; or 'speedscope'.\n"
    "\n"
    "Raises NotActiveError; RuntimeError if there is no profile; OSError;\n"
    "ValueError; TypeError; MemoryError.");

// -1 with ValueError set.
static int
format_of(const char *name)
{
    static const char *const names[] = {
        [PIMALLOC_HTML] = "html",
        [PIMALLOC_PPROF] = "pprof",
        [PIMALLOC_FOLDED] = "folded",
        [PIMALLOC_SPEEDSCOPE] = "speedscope",
    };
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "there is no format '%s'; valid are html, pprof, folded and "
                 "speedscope",
                 name);
    return -1;
}

static PyObject *
save(const pim_library *library, PyObject *path, int format)
{
    int err;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS err = library->profile_save(name, format);
    Py_END_ALLOW_THREADS if (err == -ESRCH || err == -ENOMEM)
    {
        return fail(err);
    }
    if (err != 0) {
        errno = -err;
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    Py_RETURN_NONE;
}

static PyObject *
profile_save(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char path_name[] = "path";
    static char format_name[] = "format";
    static char *names[] = {path_name, format_name, NULL};
    PyObject *path = NULL;
    const char *name = "html";
    const pim_library *library = pim_library_of(module);
    if (library == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O&|s:profile_save", names,
                                     PyUnicode_FSConverter, &path, &name)) {
        return NULL;
    }
    int format = format_of(name);
    PyObject *result = format >= 0 ? save(library, path, format) : NULL;
    Py_DECREF(path);
    return result;
}

static PyMethodDef methods[] = {
    {"profile_start", PIM_WITH_KEYWORDS(profile_start),
     METH_VARARGS | METH_KEYWORDS, profile_start_doc},
    {"profile_stop", profile_stop, METH_NOARGS, profile_stop_doc},
    {"profile", profile, METH_NOARGS, profile_doc},
    {"profile_mark", profile_mark, METH_NOARGS, profile_mark_doc},
    {"profile_snapshot", profile_snapshot, METH_NOARGS, profile_snapshot_doc},
    {"profile_save", PIM_WITH_KEYWORDS(profile_save),
     METH_VARARGS | METH_KEYWORDS, profile_save_doc},
    {NULL, NULL, 0, NULL},
};

int
pim_profile_add(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
