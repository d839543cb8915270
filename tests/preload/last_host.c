// last_host.c -- leaves raw blocks of Python's to a library that outlives
// everything else (last.c).

#include <Python.h>

void last_keep(void *block, void (*release)(void *));

int
main(void)
{
    Py_InitializeEx(0);
    if (PyRun_SimpleString("kept = [[i] for i in range(20000)]\n") != 0) {
        return 1;
    }
    last_keep(PyMem_RawMalloc(100), PyMem_RawFree);
    last_keep(PyMem_RawCalloc(1, 100000), PyMem_RawFree);
    last_keep(PyMem_RawMalloc((size_t)3 << 20), PyMem_RawFree);
    return Py_FinalizeEx() != 0;
}
