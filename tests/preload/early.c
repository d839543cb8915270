// early.c -- a library whose constructor starts Python, before the program's main
// and before the constructor of whatever was preloaded.

#include <Python.h>

int early_status(void);

static int status = -1;

__attribute__((constructor)) static void
start(void)
{
    Py_InitializeEx(0);
    status = PyRun_SimpleString("kept = [[i] for i in range(20000)]\n");
}

__attribute__((visibility("default"))) int
early_status(void)
{
    return status;
}
