// arguments.h -- arguments that several functions take.

#ifndef PIM_MODULE_ARGUMENTS_H
#define PIM_MODULE_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "module/limited.h"

// A function with keywords as PyMethodDef takes it; through a type without a
// prototype's arguments, which gcc knows to be meant.
#define PIM_WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

// The id of the calling interpreter.
int64_t pim_own_interp(void);

// Whether the caller is the main interpreter.  If not, PermissionError says that
// only that one does `what`: a script must not do to others what concerns all.
bool pim_is_main(const char *what);

// Converters as PyArg_ParseTuple() calls them for "O&", into an int64_t: 1, or
// 0 with an exception set.  The first takes an id, or an object with an id such
// as concurrent.interpreters.Interpreter; the second also None, for which *out
// stays as it is.
int pim_interp_argument(PyObject *argument, void *out);
int pim_interp_or_none(PyObject *argument, void *out);

// The argument `interp` of a function that takes no other, borrowed; None if it
// was not given.  `format` is "|O:" and the function's name.  NULL with an
// exception set.
PyObject *pim_only_interp(PyObject *args, PyObject *kwargs, const char *format);

#endif // PIM_MODULE_ARGUMENTS_H
