// limited.h -- Python.h as this layer sees it: the stable ABI of 3.12 only, so
// that one file serves 3.12 to 3.15, debug builds included.

#ifndef PIM_MODULE_LIMITED_H
#define PIM_MODULE_LIMITED_H

#define Py_LIMITED_API 0x030C0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#endif // PIM_MODULE_LIMITED_H
