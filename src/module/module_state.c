// module_state.c -- see module_state.h.

#include "module/module_state.h"

pim_module_state *
pim_module_state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

const pim_library *
pim_library_of(PyObject *module)
{
    const pim_module_state *state = pim_module_state_of(module);
    if (pim_library_is_active(&state->library)) {
        return &state->library;
    }
    PyObject *type = state->not_active_error; // NULL: the module is dying
    PyErr_SetString(
        type != NULL ? type : PyExc_RuntimeError,
        state->library.found
            ? "pimalloc is in this process but does not serve this Python: it "
              "was never installed, or PYTHONMALLOC, -X dev or another "
              "allocator came in its place, or the process was forked in the "
              "middle of a request; pimalloc-run --verbose may say why"
            : "pimalloc is not in this process; run python under "
              "pimalloc-run, or embed it with pimalloc_install()");
    return NULL;
}
