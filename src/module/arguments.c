// arguments.c -- interpreters by their names.

#include "module/arguments.h"

// `number` supports __index__.
static int
int64_of(PyObject *number, int64_t *out)
{
    PyObject *index = PyNumber_Index(number);
    if (index == NULL) {
        return -1;
    }
    long long value = PyLong_AsLongLong(index);
    Py_DECREF(index);
    if (value == -1 && PyErr_Occurred() != NULL) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_SetString(PyExc_OverflowError,
                            "an interpreter's id has no more than 64 bits");
        }
        return -1;
    }
    *out = value;
    return 0;
}

int
pim_interpreter_argument(PyObject *argument, int64_t *out)
{
    if (PyIndex_Check(argument)) {
        return int64_of(argument, out);
    }
    PyObject *id = PyObject_GetAttrString(argument, "id");
    if (id == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    if (id == NULL || !PyIndex_Check(id)) {
        Py_XDECREF(id);
        PyErr_Format(PyExc_TypeError,
                     "interp must be an interpreter's id, an Interpreter or "
                     "None, not %R",
                     Py_TYPE(argument));
        return -1;
    }
    int err = int64_of(id, out);
    Py_DECREF(id);
    return err;
}

PyObject *
pim_only_interpreter(PyObject *args, PyObject *kwargs, const char *format)
{
    static char name[] = "interp";
    static char *names[] = {name, NULL};
    PyObject *argument = Py_None;
    return PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &argument)
               ? argument
               : NULL;
}
