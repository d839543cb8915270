// fragile.c -- see fragile.h.
//
// Two faults of CPython's, which anybody who lets requests fail comes upon:
//
// - Up to 3.13 the instruction that makes a function releases the code object
//   twice if there is no memory for the function, so that a constant of the
//   calling code is freed under it.  Its requests are known by their size alone,
//   and so others of that size are taken for one.
// - To enter a handler CPython may need an int, and asks again for ever until it
//   has it (up to 3.13).  An error is set then.  Much else that CPython does
//   while one is set, it does to save it.

#include "cpython/fragile.h"

#include <string.h>

#include "base/atomic.h"
#include "cpython/symbols.h"
#include "domain/domain.h"

#define GC_HEADER 16
#define DEBUG_BYTES 24 // of CPython's debug hooks, if they are on top
#define VERSION_3_14 0x030e0000ul

static _Atomic size_t function_size; // 0: no matter
static PyObject *(*_Atomic error_now)(void);

void
pim_fragile_start(void)
{
    PyObject *(*ask)(void) = NULL;
    if (pim_py.tstate == NULL) {
        return;
    }
    const PyTypeObject *function = pim_py_symbol("PyFunction_Type");
    void *symbol = pim_py_symbol("PyErr_Occurred");
    memcpy(&ask, &symbol, sizeof(ask));
    pim_store_relaxed(&error_now, ask);
    if (function != NULL && pim_py.hexversion < VERSION_3_14) {
        pim_store_relaxed(&function_size,
                          (size_t)function->tp_basicsize + GC_HEADER);
    }
}

static bool
is_error_set(void)
{
    PyObject *(*ask)(void) = pim_load_relaxed(&error_now);
    return ask != NULL && pim_py.tstate() != NULL && ask() != NULL;
}

bool
pim_is_fragile(unsigned domain, size_t size)
{
    size_t function = pim_load_relaxed(&function_size);
    return (domain == PIM_OBJ && function != 0 &&
            (size == function || size == function + DEBUG_BYTES)) ||
           is_error_set();
}
