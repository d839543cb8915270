// main.c -- a program that was never near pimalloc's build tree: Python on
// pimalloc, one line of it, and the proof that pimalloc served it.

#include <Python.h>

#include <pimalloc/pimalloc.h>

int
main(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    Py_PreInitialize(&preconfig);
    int err = pimalloc_install(NULL);
    if (err != 0) {
        fprintf(stderr, "%s\n", pimalloc_strerror(err));
        return 1;
    }
    Py_Initialize();
    int failed = PyRun_SimpleString("print('squares', sum(i * i for i in "
                                    "range(1000)))");
    printf("active %d, version %d\n", pimalloc_active(), pimalloc_version());
    return failed == 0 && pimalloc_active() == 1 ? 0 : 1;
}
