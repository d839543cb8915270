// symbols.h -- the functions of CPython that we call, found in the running
// process.
//
// The library is not linked against libpython: one file serves 3.12 to 3.15, in
// executables that contain CPython and in ones that load it.  Each function is
// looked up by a weak reference first, which also finds it in an executable
// that was linked with a static libpython, then by dlsym.
//
// What differs between CPython versions is known in this file's .c alone, but
// for the count of an object (object.c) and, in hooks/, the layout of frames.

#ifndef PIM_CPYTHON_SYMBOLS_H
#define PIM_CPYTHON_SYMBOLS_H

#include <Python.h>

#include "base/compiler.h"

// PY_VERSION_HEX of 3.12, the oldest that is served.
#define PIM_VERSION_MIN 0x030c0000ul

typedef struct pim_py_api {
    // In every version.
    void (*set_allocator)(PyMemAllocatorDomain, PyMemAllocatorEx *);
    void (*get_allocator)(PyMemAllocatorDomain, PyMemAllocatorEx *);
    int (*is_initialized)(void);
    const char *(*get_version)(void);
    int64_t (*interp_id)(PyInterpreterState *);
    PyInterpreterState *(*interp_main)(void);
    PyInterpreterState *(*tstate_interp)(PyThreadState *);

    // The attached thread state or NULL, without a check.
    PyThreadState *(*tstate)(void);

    // PyMem_SetupDebugHooks(); NULL if it is hidden.
    void (*setup_debug_hooks)(void);

    // PyObject_GetArenaAllocator() and its opposite; NULL if they are hidden.
    void (*get_arena_allocator)(PyObjectArenaAllocator *);
    void (*set_arena_allocator)(PyObjectArenaAllocator *);

    // The variable with all of CPython's state, NULL if it is hidden, and its
    // size, 0 if that is not known.
    const void *runtime;
    size_t runtime_bytes;

    // Private; at most one of the two exists.
    int (*interp_has_feature)(PyInterpreterState *, unsigned long);
    int (*interp_config)(PyInterpreterConfig *, PyInterpreterState *);

    unsigned long hexversion; // PY_VERSION_HEX of what runs
    bool free_threaded;
    bool debug_build;
    void *module; // where it was looked for; NULL: in the process
} pim_py_api;

// The one that is served; all zero before.
extern pim_py_api pim_py;

// Finds the CPython in a module that dlopen() returned, and in what that
// depends on; NULL: in the process.  0, or -ENOSYS: there is none, or one that
// is too old or hides functions; then *out has its hexversion at least.
int pim_py_find(void *module, pim_py_api *out);

// Another function or variable of the CPython in pim_py; NULL: it is hidden.
void *pim_py_symbol(const char *name);

// Keeps the module that pim_py was found in loaded until the process ends, and
// the one that this code is in: a thread may read its thread-local data, and
// CPython call our functions, whatever the program closes.
void pim_py_keep_loaded(void);

// Whether this CPython swaps the raw table for libc's at moments while other
// threads run: up to 3.13, and in debug builds.
bool pim_py_swaps_raw(void);

// Whether blocks are known to be used after the interpreter that allocated them
// ended: up to 3.13.
bool pim_py_outlives(void);

// Whether it never frees the state of an interpreter, so that no end is seen:
// 3.14.0.
bool pim_py_hides_ends(void);

// Whether the process ends where there is no memory for the state of an
// interpreter: before 3.13.8 (gh-112729).
bool pim_py_needs_state(void);

// Size of an interpreter's state: main's lies at the end of CPython's variable.
// 0: not known.
size_t pim_py_state_bytes(void);

// Whether the program is python itself, by its name: it runs Python code in the
// main interpreter, and its command line is Python's.
bool pim_py_is_program(void);

// Whether an interpreter uses main's object allocator state, so that it shares
// objects with main.  False where that cannot be asked: a heap of its own is
// safe for every interpreter, since late frees into it work.
bool pim_py_is_legacy(PyInterpreterState *interp);

#endif // PIM_CPYTHON_SYMBOLS_H
