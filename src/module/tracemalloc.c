// tracemalloc.c -- see tracemalloc.h.
//
// Its classes are Python code, which imports the C module _tracemalloc first.
// That refuses interpreters with a GIL of their own.  There one of ours stands in
// for it while tracemalloc is imported, and traces nothing.

#include "module/tracemalloc.h"

#include "module/arguments.h"

#define MAIN ((int64_t)0)
#define STOOD_IN "_tracemalloc"

static PyObject *
refuse(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyErr_SetString(PyExc_RuntimeError,
                    "tracemalloc does not trace in this interpreter; "
                    "pimalloc.trace_start() does");
    return NULL;
}

static PyObject *
say_nothing(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    Py_RETURN_NONE;
}

static PyObject *
say_false(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    Py_RETURN_FALSE;
}

static PyObject *
say_one(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyLong_FromLong(1);
}

static PyObject *
say_zero(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyLong_FromLong(0);
}

static PyObject *
say_zeros(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return Py_BuildValue("(ii)", 0, 0);
}

static PyMethodDef stand_ins[] = {
    {"start", refuse, METH_VARARGS, NULL},
    {"stop", say_nothing, METH_VARARGS, NULL},
    {"is_tracing", say_false, METH_VARARGS, NULL},
    {"get_traceback_limit", say_one, METH_VARARGS, NULL},
    {"get_traced_memory", say_zeros, METH_VARARGS, NULL},
    {"get_tracemalloc_memory", say_zero, METH_VARARGS, NULL},
    {"reset_peak", say_nothing, METH_VARARGS, NULL},
    {"clear_traces", say_nothing, METH_VARARGS, NULL},
    {"_get_traces", refuse, METH_VARARGS, NULL},
    {"_get_object_traceback", say_nothing, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyObject *
import_with_stand_in(void)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *stand_in = PyModule_New(STOOD_IN);
    PyObject *result = NULL;
    if (stand_in != NULL && PyModule_AddFunctions(stand_in, stand_ins) == 0 &&
        PyDict_SetItemString(modules, STOOD_IN, stand_in) == 0) {
        result = PyImport_ImportModule("tracemalloc");
        PyObject *raised = PyErr_GetRaisedException();
        if (PyDict_DelItemString(modules, STOOD_IN) != 0) {
            PyErr_Clear(); // somebody was faster
        }
        PyErr_SetRaisedException(raised);
    }
    Py_XDECREF(stand_in);
    return result;
}

PyObject *
pim_tracemalloc_class(const char *name)
{
    PyObject *module = PyImport_ImportModule("tracemalloc");
    if (module == NULL && pim_own_interp() != MAIN &&
        PyErr_ExceptionMatches(PyExc_ImportError)) {
        PyErr_Clear();
        module = import_with_stand_in();
    }
    PyObject *found =
        module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}
