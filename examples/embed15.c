// The smallest program that runs Python on pimalloc.
#include <Python.h>
#include <pimalloc/pimalloc.h>

int
main(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    Py_PreInitialize(&preconfig);
    int err = pimalloc_install(NULL); // after the one, before the other
    if (err != 0) {
        fprintf(stderr, "%s\n", pimalloc_strerror(err)); // Python still works
    }
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
    PyRun_SimpleString("print(sum(len(str(n)) for n in range(100_000)))");
    pimalloc_stats_print(stdout);
    return Py_FinalizeEx();
}
