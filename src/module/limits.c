// limits.c -- what an interpreter may use, from Python.
//
// A script that is limited must not get rid of its limit: only the main
// interpreter may change one.  The others may give themselves one that they do
// not have.

#include "module/limits.h"

#include <errno.h>

#include "module/arguments.h"
#include "module/module_state.h"

// An argument that is bytes, or None for 0.
typedef struct limit_bytes {
    const char *name;
    uint64_t bytes;
} limit_bytes;

// A converter, as in arguments.h.
static int
bytes_or_none_argument(PyObject *argument, void *out)
{
    limit_bytes *limit = out;
    limit->bytes = 0;
    if (Py_IsNone(argument)) {
        return 1;
    }
    long long bytes = PyLong_AsLongLong(argument);
    if (bytes == -1 && PyErr_Occurred() != NULL) {
        return 0;
    }
    if (bytes <= 0) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be at least one byte, or None for no limit",
                     limit->name);
        return 0;
    }
    limit->bytes = (uint64_t)bytes;
    return 1;
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
    return pim_is_main("changes limits; others may limit themselves while they "
                       "have no limit");
}

// Whether the caller may change the limit that is there.
static bool
may_set(int64_t interp, const pimalloc_limit *now)
{
    int64_t self = pim_own_interp();
    return (self == interp && now->interp == self && now->soft_bytes == 0 &&
            now->hard_bytes == 0) ||
           is_main();
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
    static char soft_name[] = "soft";
    static char hard_name[] = "hard";
    static char interp_name[] = "interp";
    static char *names[] = {soft_name, hard_name, interp_name, NULL};
    limit_bytes soft = {.name = soft_name};
    limit_bytes hard = {.name = hard_name};
    int64_t interp = pim_own_interp();
    pimalloc_limit now;
    const pim_library *library = pim_library_of(module);
    if (library == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O&|O&$O&:set_limit", names,
                                     bytes_or_none_argument, &soft,
                                     bytes_or_none_argument, &hard,
                                     pim_interp_or_none, &interp) ||
        get(library, interp, &now) != 0 || !may_set(interp, &now)) {
        return NULL;
    }
    // Whoever embeds Python may have set a callback, which stays.
    int err = library->limit_set(interp, soft.bytes, hard.bytes, now.callback,
                                 now.arg);
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
    PyObject *argument =
        library != NULL ? pim_only_interp(args, kwargs, "|O:limits") : NULL;
    int64_t interp = pim_own_interp();
    pimalloc_limit limit;
    if (argument == NULL || !pim_interp_or_none(argument, &interp) ||
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
    int64_t interp;
    int64_t parent = PIMALLOC_PROCESS;
    if (library == NULL || !is_main() ||
        !PyArg_ParseTuple(args, "O&O&:count_for", pim_interp_argument, &interp,
                          pim_interp_or_none, &parent)) {
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
    int64_t interp = pim_own_interp();
    int count;
    if (library == NULL || !is_main() ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "p|$O&:count_made", names,
                                     &count, pim_interp_or_none, &interp)) {
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
