// arguments.h -- arguments that several functions take.

#ifndef PIM_MODULE_ARGUMENTS_H
#define PIM_MODULE_ARGUMENTS_H

#include <stdint.h>

#include "module/limited.h"

// A function with keywords as PyMethodDef takes it; through a type without a
// prototype's arguments, which gcc knows to be meant.
#define PIM_WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

// The id that is meant: an id, or an object with an id, such as
// concurrent.interpreters.Interpreter.  -1 with an exception set.
int pim_interpreter_argument(PyObject *argument, int64_t *out);

// The argument `interp` of a function that takes no other, borrowed; None if it
// was not given.  `format` is PyArg_ParseTupleAndKeywords()'s, "|O:" and the
// function's name.  NULL with an exception set.
PyObject *pim_only_interpreter(PyObject *args, PyObject *kwargs,
                               const char *format);

#endif // PIM_MODULE_ARGUMENTS_H
