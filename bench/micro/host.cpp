// host.cpp -- see host.h.  The only source here that knows Python.h, and so the
// only one that is compiled for each Python.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

#include <pimalloc/pimalloc.h>

#include "host.h"

// PIM_TEST_PYTHON, the python executable to run as, is set by the build.

namespace micro {
namespace host {

namespace {

PyThreadState *main_state;           // of the main interpreter, not attached
PyThreadState *worker_state;         // of the one the patterns work in
thread_local PyThreadState *visitor; // of main, while a thread has its own

PyThreadState *
py(state *own)
{
    return reinterpret_cast<PyThreadState *>(own);
}

state *
opaque(PyThreadState *own)
{
    return reinterpret_cast<state *>(own);
}

std::string
text_of(const char *step, PyStatus status)
{
    const char *why = status.err_msg != nullptr ? status.err_msg : "no reason";
    return std::string(step) + ": " + why;
}

[[noreturn]] void
die(const char *step, PyStatus status)
{
    fprintf(stderr, "bench_micro: %s\n", text_of(step, status).c_str());
    exit(EXIT_FAILURE);
}

// The value for PyPreConfig.allocator, or -1 where this Python has none.
int
preconfig_value(allocator which)
{
    switch (which) {
    case allocator::pimalloc:
        return PYMEM_ALLOCATOR_NOT_SET;
    case allocator::pymalloc:
#ifdef WITH_PYMALLOC
        return PYMEM_ALLOCATOR_PYMALLOC;
#else
        return -1;
#endif
    case allocator::mimalloc:
#ifdef WITH_MIMALLOC
        return PYMEM_ALLOCATOR_MIMALLOC;
#else
        return -1;
#endif
    case allocator::malloc:
        return PYMEM_ALLOCATOR_MALLOC;
    }
    return -1;
}

const char *
name_of(allocator which)
{
    switch (which) {
    case allocator::pimalloc:
        return "pimalloc";
    case allocator::pymalloc:
        return "pymalloc";
    case allocator::mimalloc:
        return "mimalloc";
    case allocator::malloc:
        return "malloc";
    }
    return "?";
}

// What Python itself says it runs on.  Not a public function, but exported by
// every version; it knows only Python's own allocators.
std::string
name_by_python()
{
    using getter = const char *(*)();
    void *found = dlsym(RTLD_DEFAULT, "_PyMem_GetCurrentAllocatorName");
    if (found == nullptr) {
        return "";
    }
    getter ask;
    memcpy(&ask, &found, sizeof(ask));
    const char *name = ask();
    return name != nullptr ? name : "";
}

std::string
check(allocator which)
{
    bool ours = pimalloc_active() != 0;
    std::string says = name_by_python();
    if (which == allocator::pimalloc ? ours : !ours && says == name_of(which)) {
        return "";
    }
    return std::string("Python runs on ") +
           (ours            ? "pimalloc"
            : !says.empty() ? says
                            : "an allocator it cannot name") +
           ", not on " + name_of(which) +
           " as asked for; something else in this process has replaced it";
}

PyStatus
new_interpreter(PyThreadState **own)
{
    PyInterpreterConfig config = {};
    config.allow_threads = 1;
    config.check_multi_interp_extensions = 1;
    config.gil = PyInterpreterConfig_OWN_GIL;
    return Py_NewInterpreterFromConfig(own, &config);
}

table
table_of(PyMemAllocatorDomain domain)
{
    PyMemAllocatorEx got;
    PyMem_GetAllocator(domain, &got);
    return {got.ctx, got.malloc, got.calloc, got.realloc, got.free};
}

} // namespace

std::string
start(allocator which)
{
    int value = preconfig_value(which);
    if (value < 0) {
        return std::string("this Python (") + PY_VERSION +
               ") was built without " + name_of(which) +
               (which == allocator::mimalloc
                    ? "; CPython has it since 3.13: take a newer one"
                    : "");
    }
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.allocator = value;
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status)) {
        return text_of("Py_PreInitialize", status);
    }
    int err = which == allocator::pimalloc ? pimalloc_install(nullptr) : 0;
    if (err != 0) {
        return pimalloc_strerror(err);
    }

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    status =
        PyConfig_SetBytesString(&config, &config.program_name, PIM_TEST_PYTHON);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        return text_of("Py_InitializeFromConfig", status);
    }
    main_state = PyThreadState_Get();
    status = new_interpreter(&worker_state); // gives up main's GIL
    if (PyStatus_Exception(status)) {
        return text_of("Py_NewInterpreterFromConfig", status);
    }
    return check(which);
}

bool
stop()
{
    Py_EndInterpreter(worker_state);
    PyEval_AcquireThread(main_state);
    return Py_FinalizeEx() == 0;
}

std::string
version()
{
    const char *text = Py_GetVersion();
    return std::string(text, strcspn(text, " "));
}

table
object_table()
{
    return table_of(PYMEM_DOMAIN_OBJ);
}

table
raw_table()
{
    return table_of(PYMEM_DOMAIN_RAW);
}

std::string
malloc_file()
{
    Dl_info info;
    void *found = dlsym(RTLD_DEFAULT, "malloc");
    if (found == nullptr || dladdr(found, &info) == 0) {
        return "?";
    }
    return info.dli_fname;
}

state *
detach()
{
    return opaque(PyEval_SaveThread());
}

void
attach(state *own)
{
    PyEval_RestoreThread(py(own));
}

state *
begin_interpreter()
{
    // An interpreter is made under the GIL of another; main's is free.
    visitor = PyThreadState_New(PyInterpreterState_Main());
    PyEval_AcquireThread(visitor);
    PyThreadState *own = nullptr;
    PyStatus status = new_interpreter(&own);
    if (PyStatus_Exception(status)) {
        die("Py_NewInterpreterFromConfig", status);
    }
    return opaque(own);
}

void
end_interpreter(state *own)
{
    Py_EndInterpreter(py(own));
    PyEval_AcquireThread(visitor);
    PyThreadState_Clear(visitor);
    PyThreadState_DeleteCurrent();
}

state *
begin_state(state *of)
{
    return opaque(PyThreadState_New(PyThreadState_GetInterpreter(py(of))));
}

void
end_state(state *own)
{
    PyEval_AcquireThread(py(own));
    PyThreadState_Clear(py(own));
    PyThreadState_DeleteCurrent();
}

} // namespace host
} // namespace micro
