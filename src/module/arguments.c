// arguments.c -- interpreters by their names.

#include "module/arguments.h"

int64_t
pim_own_interp(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get());
}

bool
pim_is_main(const char *what)
{
    bool is_main = pim_own_interp() == 0;
    if (!is_main) {
        PyErr_Format(PyExc_PermissionError, "only the main interpreter %s",
                     what);
    }
    return is_main;
}

// `number` supports __index__.
static int
int64_of(PyObject *number, int64_t *out)
{
    *out = PyLong_AsLongLong(number);
    if (*out != -1 || PyErr_Occurred() == NULL) {
        return 1;
    }
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_SetString(PyExc_OverflowError,
                        "an interpreter's id has no more than 64 bits");
    }
    return 0;
}

int
pim_interp_argument(PyObject *argument, void *out)
{
    if (PyIndex_Check(argument)) {
        return int64_of(argument, out);
    }
    PyObject *id = PyObject_GetAttrString(argument, "id");
    if (id == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return 0;
    }
    int ok = 0;
    if (id != NULL && PyIndex_Check(id)) {
        ok = int64_of(id, out);
    } else {
        PyErr_Format(PyExc_TypeError,
                     "interp must be an interpreter's id, an Interpreter or "
                     "None, not %R",
                     Py_TYPE(argument));
    }
    Py_XDECREF(id);
    return ok;
}

int
pim_interp_or_none(PyObject *argument, void *out)
{
    return Py_IsNone(argument) || pim_interp_argument(argument, out);
}

PyObject *
pim_only_interp(PyObject *args, PyObject *kwargs, const char *format)
{
    static char name[] = "interp";
    static char *names[] = {name, NULL};
    PyObject *argument = Py_None;
    return PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &argument)
               ? argument
               : NULL;
}
