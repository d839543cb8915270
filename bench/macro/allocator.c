// allocator.c -- starts Python on the allocator that was asked for.
//
// A benchmark that measures the wrong allocator is worse than none, so what is
// in use is asked for afterwards: of pimalloc itself, of CPython (by a function
// that its own tests use), and of the list of mapped files.
//
// libpimalloc is loaded when it is asked for and not linked, so that a rival's
// resident memory has none of it.  That makes no difference to its speed:
// Python calls it by pointers either way.

#define _GNU_SOURCE // RTLD_DEFAULT
#include "host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pimalloc/pimalloc.h>

// PIM_TEST_PYTHON, the python executable to run as, and PIM_BENCH_LIBRARY, the
// file name of libpimalloc, are set by the build.

// The public functions of pimalloc that are needed here.
static struct {
    __typeof__(pimalloc_install) *install;
    __typeof__(pimalloc_strerror) *strerror;
    __typeof__(pimalloc_active) *active;
} library;

static _Noreturn void
fail(const char *why)
{
    fprintf(stderr, PIM_BENCH_NAME ": %s\n", why);
    exit(1);
}

static void
python_check(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

static void
find_function(void *handle, const char *name, void *function)
{
    void *found = dlsym(handle, name);
    if (found == NULL) {
        fail(dlerror());
    }
    memcpy(function, &found, sizeof(found));
}

// Loads the library that LD_LIBRARY_PATH or else RUNPATH leads to.
static void
install_pimalloc(void)
{
    void *handle = dlopen(PIM_BENCH_LIBRARY, RTLD_NOW | RTLD_GLOBAL);
    if (handle == NULL) {
        fail(dlerror());
    }
    find_function(handle, "pimalloc_install", &library.install);
    find_function(handle, "pimalloc_strerror", &library.strerror);
    find_function(handle, "pimalloc_active", &library.active);
    int err = library.install(NULL);
    if (err != 0) {
        fail(library.strerror(err));
    }
}

// The value of PyPreConfig.allocator; pimalloc comes later, over the default.
static int
preconfig_allocator(const char *name)
{
    if (strcmp(name, "pymalloc") == 0) {
        return PYMEM_ALLOCATOR_PYMALLOC;
    }
    if (strcmp(name, "malloc") == 0) {
        return PYMEM_ALLOCATOR_MALLOC;
    }
    if (strcmp(name, "mimalloc") == 0) {
#if PY_VERSION_HEX >= 0x030D0000
        return PYMEM_ALLOCATOR_MIMALLOC;
#else
        fprintf(stderr,
                PIM_BENCH_NAME
                ": CPython has a mimalloc from 3.13 on; this is %s\n",
                PY_VERSION);
        exit(2);
#endif
    }
    return PYMEM_ALLOCATOR_NOT_SET;
}

static bool
is_floor(const char *name)
{
    return strcmp(name, "floor") == 0 || strcmp(name, "ordered") == 0;
}

// Ends the process unless `wanted` is what Python runs on.
static void
check_in_use(const char *wanted)
{
    const char *(*current_name)(void);
    find_function(RTLD_DEFAULT, "_PyMem_GetCurrentAllocatorName",
                  &current_name);
    const char *name = current_name(); // NULL: none of CPython's own
    if (name == NULL) {
        bool ours = library.active != NULL && library.active();
        name = ours ? "pimalloc" : is_floor(wanted) ? wanted : "an unknown one";
    }
    if (strcmp(name, wanted) != 0) {
        fprintf(stderr,
                PIM_BENCH_NAME ": asked for %s, but Python runs on %s\n",
                wanted, name);
        exit(1);
    }
}

void
host_start_python(const char *allocator)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.allocator = preconfig_allocator(allocator);
    python_check(Py_PreInitialize(&preconfig));
    if (strcmp(allocator, "pimalloc") == 0) {
        install_pimalloc();
    } else if (is_floor(allocator)) {
        bool ordered = strcmp(allocator, "ordered") == 0;
        if ((ordered ? host_install_ordered() : host_install_floor()) != 0) {
            fail("no address space for the floor allocator");
        }
    }

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;    // nor whatever is installed beside Python
    config.write_bytecode = 0; // nor a trace of this run for the next one
    config.use_hash_seed = 1;  // PYTHONHASHSEED=0: each run is the same run
    config.hash_seed = 0;
    python_check(PyConfig_SetBytesString(&config, &config.program_name,
                                         PIM_TEST_PYTHON));
    python_check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    check_in_use(allocator);
}

// Whether a file with this text in its path is mapped into the process.
static bool
is_mapped(const char *text)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096 + 128];
    bool found = false;
    while (maps != NULL && !found && fgets(line, sizeof(line), maps) != NULL) {
        found = strstr(line, text) != NULL;
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found;
}

// Ends the process if the label names a malloc that is not there, or if there
// is one that it does not name.
void
host_check_label(const options *opts)
{
    static const struct {
        const char *label;
        const char *file;
    } mallocs[] = {{"jemalloc", "/libjemalloc"},
                   {"tcmalloc", "/libtcmalloc"},
                   {"rpmalloc", "/librpmalloc"},
                   {"libmimalloc", "/libmimalloc"}};
    size_t count = sizeof(mallocs) / sizeof(mallocs[0]);
    count -= library.active != NULL; // pimalloc may bring its own libmimalloc
    for (size_t i = 0; i < count; i++) {
        bool there = is_mapped(mallocs[i].file);
        if (there != (strcmp(opts->label, mallocs[i].label) == 0)) {
            fprintf(stderr,
                    PIM_BENCH_NAME ": the label is %s, but %s is %sin the "
                                   "process: see LD_PRELOAD\n",
                    opts->label, mallocs[i].label, there ? "" : "not ");
            exit(1);
        }
    }
}
