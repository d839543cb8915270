// plug_in.c -- a plug-in that brings Python and, linked into it, pimalloc.

#include <Python.h>

#include "plug_in.h"

#include "pimalloc/pimalloc.h"

static PyThreadState *outer;

static int
begin(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    if (PyStatus_Exception(Py_PreInitialize(&preconfig)) ||
        pimalloc_install(NULL) != 0) {
        return -1;
    }
    Py_InitializeEx(0);
    outer = PyEval_SaveThread();
    return pimalloc_active() == 1 ? 0 : -1;
}

static int
work(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int err = PyRun_SimpleString("x = [[i] for i in range(1000)]");
    PyGILState_Release(state);
    return err;
}

static int
end(void)
{
    PyEval_RestoreThread(outer);
    return Py_FinalizeEx();
}

__attribute__((visibility("default"))) const plug_in plug_in_functions = {
    begin,
    work,
    end,
    pimalloc_stats_write,
};
