// symbols.c -- finding CPython in the process, and what differs by version.

#define _GNU_SOURCE

#include "cpython/symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <string.h>

#include "platform/module.h"

// Stands for all that are too old to say.
#define VERSION_BEFORE_3_11 0x030a0000ul

#define VERSION_3_13_8 0x030d0800ul
#define VERSION_3_14 0x030e0000ul
#define VERSION_3_14_1 0x030e0100ul // what comes before it leaks

// Flag of _PyInterpreterState_HasFeature() in 3.12.
#define FEATURE_MAIN_OBMALLOC (1ul << 5)

// PyInterpreterConfig may grow; the newest known has seven ints.
#define CONFIG_BYTES 256

pim_py_api pim_py;

// Weak, so that a process without CPython can load the library.
#define WEAK(function)                                                         \
    extern __typeof__(function) function __attribute__((weak))

WEAK(PyMem_SetAllocator);
WEAK(PyMem_GetAllocator);
WEAK(Py_IsInitialized);
WEAK(Py_GetVersion);
WEAK(Py_Version);
WEAK(PyInterpreterState_GetID);
WEAK(PyInterpreterState_Main);
WEAK(PyThreadState_GetInterpreter);
extern PyThreadState *PyThreadState_GetUnchecked(void) __attribute__((weak));

// `weak` is the address that the linker or loader found, or NULL.  A module, if
// one is given, is what counts.
static bool
find(void *module, const char *name, const void *weak, void *function)
{
    const void *symbol = module != NULL ? dlsym(module, name)
                         : weak != NULL ? weak
                                        : dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

// A function pointer as an object pointer; POSIX has them alike.
#define ADDRESS(function) ((const void *)(uintptr_t)(function))

static bool
find_public(void *m, pim_py_api *py)
{
    return find(m, "PyMem_SetAllocator", ADDRESS(PyMem_SetAllocator),
                &py->set_allocator) &&
           find(m, "PyMem_GetAllocator", ADDRESS(PyMem_GetAllocator),
                &py->get_allocator) &&
           find(m, "Py_IsInitialized", ADDRESS(Py_IsInitialized),
                &py->is_initialized) &&
           find(m, "Py_GetVersion", ADDRESS(Py_GetVersion), &py->get_version) &&
           find(m, "PyInterpreterState_GetID",
                ADDRESS(PyInterpreterState_GetID), &py->interp_id) &&
           find(m, "PyInterpreterState_Main", ADDRESS(PyInterpreterState_Main),
                &py->interp_main) &&
           find(m, "PyThreadState_GetInterpreter",
                ADDRESS(PyThreadState_GetInterpreter), &py->tstate_interp);
}

// Public from 3.13 on; before, an exported private function.
static bool
find_getter(void *m, pim_py_api *py)
{
    return find(m, "PyThreadState_GetUnchecked",
                ADDRESS(PyThreadState_GetUnchecked), &py->tstate) ||
           find(m, "_PyThreadState_UncheckedGet", NULL, &py->tstate);
}

// Weak: not every C library has it (preload/foreign.c).
extern __typeof__(dladdr1) dladdr1 __attribute__((weak));

static void
find_runtime(void *m, pim_py_api *py)
{
    const ElfW(Sym) *symbol = NULL;
    Dl_info info;
    if (find(m, "_PyRuntime", NULL, &py->runtime) && dladdr1 != NULL &&
        dladdr1(py->runtime, &info, (void **)(uintptr_t)&symbol,
                RTLD_DL_SYMENT) != 0 &&
        symbol != NULL && info.dli_saddr == py->runtime) {
        py->runtime_bytes = symbol->st_size;
    }
}

static bool
is_exported(void *module, const char *name)
{
    return dlsym(module != NULL ? module : RTLD_DEFAULT, name) != NULL;
}

int
pim_py_find(void *m, pim_py_api *py)
{
    const unsigned long *version = NULL;
    *py = (pim_py_api){.module = m};
    if (!find(m, "Py_Version", &Py_Version, &version)) {
        // New in 3.11; what has the other name only is an older Python.
        if (is_exported(m, "Py_GetVersion")) {
            py->hexversion = VERSION_BEFORE_3_11;
        }
        return -ENOSYS;
    }
    py->hexversion = *version;
    if (py->hexversion < PIM_VERSION_MIN || !find_public(m, py) ||
        !find_getter(m, py)) {
        return -ENOSYS;
    }
    find(m, "PyMem_SetupDebugHooks", NULL, &py->setup_debug_hooks);
    find_runtime(m, py);
    find(m, "PyObject_GetArenaAllocator", NULL, &py->get_arena_allocator);
    find(m, "PyObject_SetArenaAllocator", NULL, &py->set_arena_allocator);
    if (!find(m, "_PyInterpreterConfig_InitFromState", NULL,
              &py->interp_config)) {
        find(m, "_PyInterpreterState_HasFeature", NULL,
             &py->interp_has_feature);
    }
    py->free_threaded = strstr(py->get_version(), "free-threading") != NULL ||
                        is_exported(m, "_Py_MergeZeroLocalRefcount");
    py->debug_build = is_exported(m, "_Py_NegativeRefcount");
    return 0;
}

void *
pim_py_symbol(const char *name)
{
    return dlsym(pim_py.module != NULL ? pim_py.module : RTLD_DEFAULT, name);
}

// The handle stays open.  A program cannot be unloaded, nor opened this way.
static void
keep_loaded(const void *address)
{
    char path[PATH_MAX];
    pim_module_path(address, path);
    if (path[0] != '\0') {
        dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

void
pim_py_keep_loaded(void)
{
    keep_loaded(ADDRESS(pim_py.tstate));
    keep_loaded(ADDRESS(pim_py_keep_loaded));
}

bool
pim_py_swaps_raw(void)
{
    return pim_py.hexversion < VERSION_3_14 || pim_py.debug_build;
}

bool
pim_py_outlives(void)
{
    return pim_py.hexversion < VERSION_3_14;
}

bool
pim_py_hides_ends(void)
{
    return pim_py.hexversion >= VERSION_3_14 &&
           pim_py.hexversion < VERSION_3_14_1;
}

bool
pim_py_needs_state(void)
{
    return pim_py.hexversion < VERSION_3_13_8;
}

size_t
pim_py_state_bytes(void)
{
    uintptr_t offset =
        (uintptr_t)pim_py.interp_main() - (uintptr_t)pim_py.runtime;
    return offset < pim_py.runtime_bytes ? pim_py.runtime_bytes - offset : 0;
}

bool
pim_py_is_program(void)
{
    static const char name[] = "python";
    return strncmp(program_invocation_short_name, name, strlen(name)) == 0;
}

bool
pim_py_is_legacy(PyInterpreterState *interp)
{
    if (pim_py.interp_config != NULL) {
        union {
            PyInterpreterConfig config;
            char space[CONFIG_BYTES];
        } room = {.space = {0}};
        // With a GIL of its own it does not hold main's, so it cannot use
        // main's heap, whatever its flags say.
        return pim_py.interp_config(&room.config, interp) == 0 &&
               room.config.use_main_obmalloc != 0 &&
               room.config.gil != PyInterpreterConfig_OWN_GIL;
    }
    return pim_py.interp_has_feature != NULL &&
           pim_py.interp_has_feature(interp, FEATURE_MAIN_OBMALLOC) != 0;
}
