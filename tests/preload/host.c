// host.c -- a program that runs Python as programs do, which nobody rebuilt.
//
// Usage: host LIBPYTHON WAY CYCLES SCRIPT [OPTION...]
//
//   LIBPYTHON  a path, loaded with RTLD_LOCAL; global:PATH with RTLD_GLOBAL;
//              plugin:PATH is a library that is linked with libpython; "self":
//              it was there at the start
//   WAY        how Python is initialised, see ways[]
//   SCRIPT     Python code, run in each cycle
//   OPTION     allocator=N   PyPreConfig.allocator (ways preinit and isolated)
//              own-allocator an allocator of the host's is set before each cycle
//              ask-locale    a thread asks for the locale all the time
//              second=PATH   another libpython runs between the cycles
//
// After each cycle's script one line says what pimalloc thinks of it.  Python's
// functions are found by dlsym in each case; its header gives the types.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Python.h>

#include "pimalloc/pimalloc.h"

#define ARGUMENTS_MAX 8

typedef struct host {
    void *python;
    int cycle;
    const char *script;
    int allocator; // of PyPreConfig; -1: as it is
    bool own_allocator;
    bool ask_locale;
    const char *second;
} host;

static void
fail(const char *what)
{
    fprintf(stderr, "host: %s\n", what);
    exit(99);
}

static void *
symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (found == NULL) {
        fail(name);
    }
    return found;
}

// A function of Python's with its type.
#define PY(function)                                                           \
    ((__typeof__(function) *)(uintptr_t)symbol(h->python, #function))

// --- what pimalloc says ----------------------------------------------------

// "cycle 1: active 1, owner 0, obj yes": does it serve this moment's objects?
static void
tell(const host *h)
{
    // A host that is not preloaded has none of these.
    __typeof__(pimalloc_active) *active =
        (__typeof__(active))(uintptr_t)dlsym(RTLD_DEFAULT, "pimalloc_active");
    if (active == NULL) {
        printf("cycle %d: active 0, owner -1\n", h->cycle);
        return;
    }
    __typeof__(pimalloc_owner) *owner =
        (__typeof__(owner))(uintptr_t)symbol(RTLD_DEFAULT, "pimalloc_owner");
    PyObject *list = PY(PyList_New)(100);
    int64_t interp = -1;
    int err = owner(list, &interp);
    printf("cycle %d: active %d, owner %lld\n", h->cycle, active(),
           err == 0 ? (long long)interp : -1);
    // Not Py_DECREF, whose macro is another one in each version.
    PY(Py_DecRef)(list);
}

static void
run_script(const host *h)
{
    if (PY(PyRun_SimpleStringFlags)(h->script, NULL) != 0) {
        fail("the script failed");
    }
    tell(h);
}

static void
finalize(const host *h)
{
    if (PY(Py_FinalizeEx)() != 0) {
        fail("Py_FinalizeEx");
    }
}

static void
expect_ok(const host *h, PyStatus status)
{
    if (PY(PyStatus_Exception)(status)) {
        fail(status.err_msg != NULL ? status.err_msg : "a PyStatus");
    }
}

// --- ways to initialise ----------------------------------------------------

static void
by_initialize(const host *h)
{
    PY(Py_InitializeEx)(0);
    run_script(h);
    finalize(h);
}

static void
preinitialize(const host *h, bool isolated)
{
    PyPreConfig preconfig;
    if (isolated) {
        PY(PyPreConfig_InitIsolatedConfig)(&preconfig);
    } else {
        PY(PyPreConfig_InitPythonConfig)(&preconfig);
    }
    if (h->allocator >= 0) {
        preconfig.allocator = h->allocator;
    }
    expect_ok(h, PY(Py_PreInitialize)(&preconfig));
}

static void
initialize_from_config(const host *h, bool isolated)
{
    PyConfig config;
    if (isolated) {
        PY(PyConfig_InitIsolatedConfig)(&config);
    } else {
        PY(PyConfig_InitPythonConfig)(&config);
    }
    expect_ok(h, PY(Py_InitializeFromConfig)(&config));
    PY(PyConfig_Clear)(&config);
}

static void
by_preinit(const host *h)
{
    preinitialize(h, false);
    initialize_from_config(h, false);
    run_script(h);
    finalize(h);
}

static void
by_isolated_preinit(const host *h)
{
    preinitialize(h, true);
    initialize_from_config(h, true);
    run_script(h);
    finalize(h);
}

static void
by_config(const host *h)
{
    initialize_from_config(h, false);
    run_script(h);
    finalize(h);
}

static void
by_isolated_config(const host *h)
{
    initialize_from_config(h, true);
    run_script(h);
    finalize(h);
}

#if PY_VERSION_HEX >= 0x030e0000
static void
by_initconfig(const host *h)
{
    PyInitConfig *config = PY(PyInitConfig_Create)();
    if (config == NULL || PY(Py_InitializeFromInitConfig)(config) != 0) {
        fail("Py_InitializeFromInitConfig");
    }
    PY(PyInitConfig_Free)(config);
    run_script(h);
    finalize(h);
}
#endif

// These two end Python themselves; the script's objects are gone by then, and
// only the figures can tell.
static void
by_main(const host *h)
{
    wchar_t *script = PY(Py_DecodeLocale)(h->script, NULL);
    wchar_t program[] = L"python3";
    wchar_t option[] = L"-c";
    wchar_t *argv[] = {program, option, script, NULL};
    if (script == NULL || PY(Py_Main)(3, argv) != 0) {
        fail("Py_Main");
    }
    PY(PyMem_RawFree)(script);
}

static void
by_bytes_main(const host *h)
{
    char program[] = "python3";
    char option[] = "-c";
    char *script = strdup(h->script);
    char *argv[] = {program, option, script, NULL};
    if (PY(Py_BytesMain)(3, argv) != 0) {
        fail("Py_BytesMain");
    }
    free(script);
}

// Initialised and never finalised: exit() finds it alive.
static void
by_leaving_it(const host *h)
{
    PY(Py_InitializeEx)(0);
    run_script(h);
}

static void
by_preinit_only(const host *h)
{
    preinitialize(h, false);
}

static const struct {
    const char *name;
    void (*run)(const host *h);
} ways[] = {
    {"initialize", by_initialize},
    {"preinit", by_preinit},
    {"isolated-preinit", by_isolated_preinit},
    {"config", by_config},
    {"isolated-config", by_isolated_config},
#if PY_VERSION_HEX >= 0x030e0000
    {"initconfig", by_initconfig},
#endif
    {"main", by_main},
    {"bytes-main", by_bytes_main},
    {"leave", by_leaving_it},
    {"preinit-only", by_preinit_only},
};

// --- what a host may do besides --------------------------------------------

static void *
own_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size != 0 ? size : 1);
}

static void *
own_calloc(void *ctx, size_t n, size_t size)
{
    (void)ctx;
    return calloc(n != 0 ? n : 1, size != 0 ? size : 1);
}

static void *
own_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc(block, size != 0 ? size : 1);
}

static void
own_free(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void
set_own_allocator(const host *h)
{
    PyMemAllocatorEx own = {NULL, own_malloc, own_calloc, own_realloc,
                            own_free};
    PY(PyMem_SetAllocator)(PYMEM_DOMAIN_RAW, &own);
    PY(PyMem_SetAllocator)(PYMEM_DOMAIN_MEM, &own);
    PY(PyMem_SetAllocator)(PYMEM_DOMAIN_OBJ, &own);
}

static volatile bool asking = true;

static void *
ask_locale(void *arg)
{
    unsigned long *count = arg;
    while (asking) {
        if (setlocale(LC_CTYPE, NULL) == NULL) {
            fail("setlocale");
        }
        ++*count;
    }
    return NULL;
}

static void *
load(const char *name)
{
    static const char global[] = "global:";
    static const char plugin[] = "plugin:";
    int flags = RTLD_LAZY | RTLD_LOCAL;
    if (strcmp(name, "self") == 0) {
        return dlopen(NULL, RTLD_LAZY);
    }
    if (strncmp(name, global, strlen(global)) == 0) {
        name += strlen(global);
        flags = RTLD_LAZY | RTLD_GLOBAL;
    } else if (strncmp(name, plugin, strlen(plugin)) == 0) {
        name += strlen(plugin);
    }
    void *handle = dlopen(name, flags);
    if (handle == NULL) {
        fail(dlerror());
    }
    return handle;
}

static void
read_option(host *h, const char *option)
{
    if (strncmp(option, "allocator=", 10) == 0) {
        h->allocator = atoi(option + 10);
    } else if (strcmp(option, "own-allocator") == 0) {
        h->own_allocator = true;
    } else if (strcmp(option, "ask-locale") == 0) {
        h->ask_locale = true;
    } else if (strncmp(option, "second=", 7) == 0) {
        h->second = option + 7;
    } else {
        fail("unknown option");
    }
}

static void
run_cycles(host *h, void (*way)(const host *h), int cycles)
{
    for (h->cycle = 1; h->cycle <= cycles; h->cycle++) {
        if (h->own_allocator) {
            set_own_allocator(h);
        }
        way(h);
        if (h->second != NULL) {
            // Of the functions that by_initialize() calls all versions agree.
            host other = *h;
            other.python = load(h->second);
            other.cycle += 100;
            by_initialize(&other);
        }
    }
}

int
main(int argc, char **argv)
{
    host h = {.allocator = -1};
    pthread_t asker;
    unsigned long asked = 0;
    void (*way)(const host *) = NULL;
    setlocale(LC_ALL, "");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 5) {
        fail("usage: host LIBPYTHON WAY CYCLES SCRIPT [OPTION...]");
    }
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        way = strcmp(ways[i].name, argv[2]) == 0 ? ways[i].run : way;
    }
    for (int i = 5; i < argc; i++) {
        read_option(&h, argv[i]);
    }
    if (way == NULL) {
        fail("this Python has no such way");
    }
    if (h.ask_locale) {
        pthread_create(&asker, NULL, ask_locale, &asked);
    }
    h.script = argv[4];
    h.python = load(argv[1]);
    run_cycles(&h, way, atoi(argv[3]));
    if (h.ask_locale) {
        asking = false;
        pthread_join(asker, NULL);
        printf("asked %s\n", asked > 1000 ? "often" : "seldom");
    }
    return 0;
}
