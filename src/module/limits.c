// limits.c -- what an interpreter may use, from Python.
//
// A script that is limited must not get rid of its limit: only the main interpreter
// may change one.  The others may give themselves one that they do not have.

#include "module/limits.h"

#include <errno.h>

#include "module/arguments.h"

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

// Whether the caller may change the limit that is there.
static int
check_permission(int64_t interp, const pimalloc_limit *now)
{
    int64_t self = own_id();
    if (self == MAIN || (self == interp && now->interp == self &&
                         now->soft_bytes == 0 && now->hard_bytes == 0)) {
        return 0;
    }
    PyErr_SetString(PyExc_PermissionError,
                    "only the main interpreter changes limits; others may "
                    "limit themselves while they have no limit");
    return -1;
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

PyObject *
pim_limits_set(const pim_library *library, PyObject *args, PyObject *kwargs)
{
    int64_t interp;
    uint64_t soft;
    uint64_t hard;
    pimalloc_limit now;
    if (read_set_arguments(args, kwargs, &interp, &soft, &hard) != 0 ||
        get(library, interp, &now) != 0 ||
        check_permission(interp, &now) != 0) {
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

PyObject *
pim_limits_get(const pim_library *library, PyObject *args, PyObject *kwargs)
{
    PyObject *argument = pim_only_interpreter(args, kwargs, "|O:limits");
    int64_t interp;
    pimalloc_limit limit;
    if (argument == NULL || which(argument, &interp) != 0 ||
        get(library, interp, &limit) != 0) {
        return NULL;
    }
    return Py_BuildValue("{sLsNsNsKsK}", "id", (long long)limit.interp, "soft",
                         bytes_or_none(limit.soft_bytes), "hard",
                         bytes_or_none(limit.hard_bytes), "live_bytes",
                         (unsigned long long)limit.live_bytes, "refusals",
                         (unsigned long long)limit.refusals);
}
