// record.c -- a log of all requests for memory, from Python.

#include "module/record.h"

#include <errno.h>

#include "module/arguments.h"
#include "module/module_state.h"

PyDoc_STRVAR(
    record_start_doc,
    "record_start($module, /, file, interp=None)\n"
    "--\n"
    "\n"
    "Log all requests for memory in a file, until record_stop().\n"
    "\n"
    "file: a path; '%p' in it stands for the process's id, and then forked\n"
    "children have logs of their own.  It is emptied first.\n"
    "interp: whose requests; None: everybody's; else as for stats().\n"
    "\n"
    "Raises NotActiveError; RuntimeError if a recording is on; OSError;\n"
    "ValueError for an interpreter that cannot be; TypeError;\n"
    "OverflowError for more than 64 bits.");

// With an exception set.
static PyObject *
refuse(int err, PyObject *path)
{
    if (err == -EALREADY || err == -ENOSPC) {
        PyErr_SetString(PyExc_RuntimeError, err == -EALREADY
                                                ? "a recording is on already"
                                                : "there are too many hooks");
    } else if (err == -EINVAL) {
        PyErr_SetString(PyExc_ValueError,
                        "file is empty, or there is no such interpreter");
    } else {
        errno = -err;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    return NULL;
}

static PyObject *
record_start(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char file_name[] = "file";
    static char interp_name[] = "interp";
    static char *names[] = {file_name, interp_name, NULL};
    PyObject *path = NULL; // bytes
    int64_t interp = PIMALLOC_EACH;
    const pim_library *library = pim_library_of(module);
    if (library == NULL || !pim_is_main("records") ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O&|O&:record_start", names,
                                     PyUnicode_FSConverter, &path,
                                     pim_interp_or_none, &interp)) {
        Py_XDECREF(path);
        return NULL;
    }
    int err = library->record_start(PyBytes_AsString(path), interp);
    PyObject *result = err == 0 ? Py_NewRef(Py_None) : refuse(err, path);
    Py_DECREF(path);
    return result;
}

PyDoc_STRVAR(
    record_stop_doc,
    "record_stop($module, /)\n"
    "--\n"
    "\n"
    "End the recording and complete its file.\n"
    "\n"
    "Raises NotActiveError; PermissionError in any interpreter but the main\n"
    "one; RuntimeError if there is none; OSError if the file could not be\n"
    "written to, where the recording then ended.");

static PyObject *
record_stop(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    if (library == NULL || !pim_is_main("records")) {
        return NULL;
    }
    int err = library->record_stop();
    if (err == 0) {
        Py_RETURN_NONE;
    }
    if (err == -ENOENT) {
        PyErr_SetString(PyExc_RuntimeError, "there is no recording");
        return NULL;
    }
    errno = -err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyMethodDef methods[] = {
    {"record_start", PIM_WITH_KEYWORDS(record_start),
     METH_VARARGS | METH_KEYWORDS, record_start_doc},
    {"record_stop", record_stop, METH_NOARGS, record_stop_doc},
    {NULL, NULL, 0, NULL},
};

int
pim_record_add(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
