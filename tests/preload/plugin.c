// plugin.c -- a plug-in that is linked with libpython, which comes with it.

#include <Python.h>

// Keeps the dependency: nothing else refers to libpython.
__attribute__((visibility("default"))) const char *plugin_python(void);

const char *
plugin_python(void)
{
    return Py_GetVersion();
}
