// limits.c -- what an interpreter may use, from Python.
//
// A script that is limited must not get rid of its limit: only the main
// interpreter may change one.  The others may give themselves one that they do
// not have.

#include "module/limits.h"

#include <errno.h>

#include "module/arguments.h"
#include "module/module_state.h"

// The id of the main interpreter.
#define MAIN ((int64_t)0)

static int64_t
own_id(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get());
}

// None is the calling interpreter.
static int
which(PyObject *argument, int64_t *out)
{
    if (Py_IsNone(argument)) {
        *out = own_id();
        return 0;
    }
    return pim_interpreter_argument(argument, out);
}

// Bytes, or None for 0.
static int
bytes_argument(const char *name, PyObject *argument, uint64_t *out)
{
    *out = 0;
    if (Py_IsNone(argument)) {
        return 0;
    }
    PyObject *index = PyNumber_Index(argument);
    if (index == NULL) {
        return -1;
    }
    long long bytes = PyLong_AsLongLong(index);
    Py_DECREF(index);
    if (bytes == -1 && PyErr_Occurred() != NULL) {
        return -1;
    }
    if (bytes <= 0) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be at least one byte, or None for no limit",
                     name);
        return -1;
    }
    *out = (uint64_t)bytes;
    return 0;
}

static int
get(const pim_library *library, int64_t interp, pimalloc_limit *limit)
{
    *limit = (pimalloc_limit){.size = sizeof(*limit)};
    int err = library->limit_get(interp, limit);
    if (err == -ENOENT) {
        PyErr_Format(PyExc_ValueError,
                     "pimalloc knows no living interpreter %lld",
                     (long long)interp);
    } else if (err != 0) {
        PyErr_SetString(PyExc_ValueError, "the process has no limit");
    }
    return err;
}

// Whether the caller is main, who may do all.
static bool
is_main(void)
{
    if (own_id() != MAIN) {
        PyErr_SetString(PyExc_PermissionError,
                        "only the main interpreter changes limits; others may "
                        "limit themselves while they have no limit");
        return false;
    }
    return true;
}

// Whether the caller may change the limit that is there.
static bool
may_set(int64_t interp, const pimalloc_limit *now)
{
    int64_t self = own_id();
    return (self == interp && now->interp == self && now->soft_bytes == 0 &&
            now->hard_bytes == 0) ||
           is_main();
}

static int
read_set_arguments(PyObject *args, PyObject *kwargs, int64_t *interp,
                   uint64_t *soft, uint64_t *hard)
{
    static char soft_name[] = "soft";
    static char hard_name[] = "hard";
    static char interp_name[] = "interp";
    static char *names[] = {soft_name, hard_name, interp_name, NULL};
    PyObject *soft_argument = NULL;
    PyObject *hard_argument = Py_None;
    PyObject *interp_argument = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O$O:set_limit", names,
                                     &soft_argument, &hard_argument,
                                     &interp_argument) ||
        bytes_argument(soft_name, soft_argument, soft) != 0 ||
        bytes_argument(hard_name, hard_argument, hard) != 0) {
        return -1;
    }
    return which(interp_argument, interp);
}

PyDoc_STRVAR(
    set_limit_doc,
    "set_limit($module, /, soft, hard=None, *, interp=None)\n"
    "--\n"
    "\n"
    "Limit the memory of one interpreter, or of those to come.\n"
    "\n"
    "soft: bytes of live blocks, all domains together; None: no limit.  A\n"
    "request above it raises MemoryError; then small ones are served up to\n"
    "hard so that the error can be handled.\n"
    "hard: bytes above which nothing is served; None: a sixteenth above\n"
    "soft, at least 1 MiB.\n"
    "interp: None for the calling interpreter, EACH for those to come, or\n"
    "as in stats().  Legacy interpreters share the main one's limit.\n"
    "\n"
    "Interpreters that count for this one are limited with it, see\n"
    "count_made().\n"
    "\n"
    "Interpreters other than the main one may only limit themselves, and\n"
    "only while they have no limit; else PermissionError.\n"
    "\n"
    "Raises NotActiveError; ValueError if there is no such interpreter or\n"
    "hard is below soft; PermissionError; TypeError; OverflowError.");

static PyObject *
set_limit(PyObject *module, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    uint64_t soft;
    uint64_t hard;
    pimalloc_limit now;
    const pim_library *library = pim_library_of(module);
    if (library == NULL ||
        read_set_arguments(args, kwargs, &interp, &soft, &hard) != 0 ||
        get(library, interp, &now) != 0 || !may_set(interp, &now)) {
        return NULL;
    }
    // Whoever embeds Python may have set a callback, which stays.
    int err = library->limit_set(interp, soft, hard, now.callback, now.arg);
    if (err != 0) {
        PyErr_SetString(PyExc_ValueError,
                        err == -EINVAL ? "hard must not be below soft"
                                       : "the interpreter has just ended");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
bytes_or_none(uint64_t bytes)
{
    return bytes != 0 ? PyLong_FromUnsignedLongLong(bytes) : Py_NewRef(Py_None);
}

static PyObject *
parent_or_none(int64_t parent)
{
    return parent != PIMALLOC_PROCESS ? PyLong_FromLongLong(parent)
                                      : Py_NewRef(Py_None);
}

PyDoc_STRVAR(
    limits_doc,
    "limits($module, /, interp=None)\n"
    "--\n"
    "\n"
    "Return the limits of an interpreter as a dict.\n"
    "\n"
    "interp as in set_limit().  Keys: id, soft and hard as set_limit() was\n"
    "told (None: nothing), live_bytes, which are its own, and refusals,\n"
    "which counts the requests refused by this limit; parent, whom it\n"
    "counts for (None: nobody); counts_made, whether those that it makes\n"
    "count for it; tree_bytes, live in all that counts for it; left_bytes,\n"
    "what ended interpreters left of these.\n"
    "\n"
    "Raises NotActiveError; ValueError if there is no such interpreter;\n"
    "TypeError; OverflowError.");

static PyObject *
limits(PyObject *module, PyObject *args, PyObject *kwargs)
{
    const pim_library *library = pim_library_of(module);
    PyObject *argument = library != NULL
                             ? pim_only_interpreter(args, kwargs, "|O:limits")
                             : NULL;
    int64_t interp;
    pimalloc_limit limit;
    if (argument == NULL || which(argument, &interp) != 0 ||
        get(library, interp, &limit) != 0) {
        return NULL;
    }
    return Py_BuildValue("{sLsNsNsKsKsNsNsKsK}", "id", (long long)limit.interp,
                         "soft", bytes_or_none(limit.soft_bytes), "hard",
                         bytes_or_none(limit.hard_bytes), "live_bytes",
                         (unsigned long long)limit.live_bytes, "refusals",
                         (unsigned long long)limit.refusals, "parent",
                         parent_or_none(limit.parent), "counts_made",
                         PyBool_FromLong(limit.counts_made), "tree_bytes",
                         (unsigned long long)limit.tree_bytes, "left_bytes",
                         (unsigned long long)limit.left_bytes);
}

PyDoc_STRVAR(
    count_for_doc,
    "count_for($module, interp, parent, /)\n"
    "--\n"
    "\n"
    "Have an interpreter count for the limits of another one.\n"
    "\n"
    "interp: as in stats(), not the main one.  What counts for it counts\n"
    "for the other one, too.\n"
    "parent: whom it counts for from now on; None: nobody.\n"
    "\n"
    "Raises NotActiveError; PermissionError in any interpreter but the main\n"
    "one; ValueError if there is no such interpreter, or parent counts for\n"
    "interp; TypeError; OverflowError.");

static PyObject *
count_for(PyObject *module, PyObject *args)
{
    const pim_library *library = pim_library_of(module);
    PyObject *interp_argument = NULL;
    PyObject *parent_argument = NULL;
    int64_t interp;
    int64_t parent = PIMALLOC_PROCESS;
    if (library == NULL || !is_main() ||
        !PyArg_ParseTuple(args, "OO:count_for", &interp_argument,
                          &parent_argument) ||
        pim_interpreter_argument(interp_argument, &interp) != 0 ||
        (!Py_IsNone(parent_argument) &&
         pim_interpreter_argument(parent_argument, &parent) != 0)) {
        return NULL;
    }
    int err = library->limit_count_for(interp, parent);
    if (err != 0) {
        PyErr_SetString(PyExc_ValueError,
                        err == -ENOENT
                            ? "there is no such interpreter, or it shares the "
                              "main one's memory"
                            : "an interpreter cannot count for one that counts "
                              "for it, nor the main one for any");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    count_made_doc,
    "count_made($module, /, count, *, interp=None)\n"
    "--\n"
    "\n"
    "Say whether interpreters that one makes from now on count for it.\n"
    "\n"
    "count: True or False.  By default they do, but not those that the main\n"
    "interpreter makes.\n"
    "interp: as in set_limit(); EACH for those to come.\n"
    "\n"
    "Raises NotActiveError; PermissionError in any interpreter but the main\n"
    "one; ValueError if there is no such interpreter; TypeError;\n"
    "OverflowError.");

static PyObject *
count_made(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char count_name[] = "count";
    static char interp_name[] = "interp";
    static char *names[] = {count_name, interp_name, NULL};
    const pim_library *library = pim_library_of(module);
    PyObject *interp_argument = Py_None;
    int64_t interp;
    int count;
    if (library == NULL || !is_main() ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "p|$O:count_made", names,
                                     &count, &interp_argument) ||
        which(interp_argument, &interp) != 0) {
        return NULL;
    }
    if (library->limit_count_made(interp, count) != 0) {
        PyErr_SetString(PyExc_ValueError, "there is no such interpreter");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"set_limit", PIM_WITH_KEYWORDS(set_limit), METH_VARARGS | METH_KEYWORDS,
     set_limit_doc},
    {"limits", PIM_WITH_KEYWORDS(limits), METH_VARARGS | METH_KEYWORDS,
     limits_doc},
    {"count_for", count_for, METH_VARARGS, count_for_doc},
    {"count_made", PIM_WITH_KEYWORDS(count_made), METH_VARARGS | METH_KEYWORDS,
     count_made_doc},
    {NULL, NULL, 0, NULL},
};

int
pim_limits_add(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
