// install.c -- when does a Python in this process get pimalloc?
//
//   there at start (python3, a program linked with libpython)   constructor
//   loaded later, or initialised again                          locale.c
//
// At both moments nothing was allocated yet that could be lost, and Python has not
// yet looked at PYTHONMALLOC: if that or a PyPreConfig chooses another allocator,
// Python replaces us right afterwards and runs as if we were not there.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "cpython/api.h"
#include "cpython/install.h"
#include "cpython/interp.h"
#include "cpython/table.h"
#include "mi/mi.h"
#include "platform/lock.h"
#include "preload/preload.h"

pim_options pim_preload_options;
bool pim_preload_installed;

static pim_lock lock = PIM_LOCK_INIT;
static const void *tried; // the module of the Python that was tried last
static bool is_privileged;

// --- whose code is it? -----------------------------------------------------

static const struct link_map *
module_of(const void *address)
{
    Dl_info info;
    struct link_map *map = NULL;
    bool known = dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) != 0;
    return known ? map : NULL;
}

// A handle of the module if CPython itself is in it, not in what it depends on.
static void *
python_in(const struct link_map *map)
{
    const char *name = map->l_name[0] != '\0' ? map->l_name : NULL;
    void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    const void *found =
        handle != NULL ? dlsym(handle, "PyMem_SetAllocator") : NULL;
    return found != NULL && module_of(found) == map ? handle : NULL;
}

// --- trying ----------------------------------------------------------------

// Texts of pimalloc_strerror() begin with our name, others do not.
static const char *
without_name(const char *text)
{
    static const char name[] = "pimalloc: ";
    size_t length = sizeof(name) - 1;
    return strncmp(text, name, length) == 0 ? text + length : text;
}

void
pim_preload_say_why_not(const char *why)
{
    if (pim_preload_options.verbose) {
        fprintf(stderr, "pimalloc: not active in %s (process %ld): %s\n",
                program_invocation_short_name, (long)getpid(),
                without_name(why));
    }
}

// Whether what serves this process will be told, mimalloc's version included.
static bool
wants_to_know(void)
{
    const pim_options *o = &pim_preload_options;
    return o->verbose || o->check || o->stats_format >= 0 ||
           o->stats_signal != 0;
}

// `python` as for pim_install().
static int
try_install(void *python)
{
    pim_options_read(&pim_preload_options);
    if (pim_py_find(python) == 0 && !pim_table_is_pythons_own()) {
        pim_preload_say_why_not("the program has set an allocator of its own");
        return -EBUSY;
    }
    int err = pim_install(NULL, python, !wants_to_know());
    if (err != 0) {
        pim_preload_say_why_not(pimalloc_strerror(err));
        return err;
    }
    pim_preload_installed = true;
    pim_preload_watch_signal();
    return 0;
}

// Whether the Python that we served is gone, and the next runtime begins on its
// own allocators.
static bool
begins_again(void)
{
    return pim_interp_is_served() && pim_py.interp_main() == NULL &&
           pim_table_was_reset();
}

void
pim_preload_runtime_starts(const void *caller)
{
    static const void
        *_Atomic stranger; // asks for the locale and has no Python
    if (is_privileged || caller == pim_load_relaxed(&stranger)) {
        return;
    }
    const struct link_map *map = module_of(caller);
    if (map == NULL) {
        return;
    }
    pim_lock_acquire(&lock);
    if (tried == map) {
        if (begins_again()) {
            try_install(python_in(map));
        }
    } else if (pim_py.set_allocator != NULL) {
        // One Python is served already; a second one keeps its own allocator.
    } else {
        void *python = python_in(map);
        if (python != NULL) {
            tried = map;
            try_install(python);
        } else {
            pim_store_relaxed(&stranger, caller);
        }
    }
    pim_lock_release(&lock);
}

// --- at the start of the process -------------------------------------------

// argv of a program that is python itself, whose words mean what choice.c reads.
static char **
argv_of_python(char **argv)
{
    const char *name = program_invocation_short_name;
    return strncmp(name, "python", strlen("python")) == 0 ? argv : NULL;
}

// pimalloc-run --check: tells the outcome, and the program itself never runs.
static void
check(bool has_python, int err, char **argv)
{
    const char *other = pim_preload_other_choice(argv_of_python(argv));
    int status = 1;
    if (!has_python) {
        printf("no CPython in this program at its start; one that it loads "
               "later, and its child processes, are served\n");
        status = 2;
    } else if (err != 0) {
        printf("not served: %s\n", without_name(pimalloc_strerror(err)));
    } else if (other != NULL) {
        printf("not served: %s\n", other);
    } else {
        const char *version = pim_py.get_version(); // and more behind it
        printf("CPython %.*s is served by pimalloc %d.%d.%d (mimalloc %d)\n",
               (int)strcspn(version, " "), version, PIMALLOC_VERSION_MAJOR,
               PIMALLOC_VERSION_MINOR, PIMALLOC_VERSION_PATCH,
               pim_mi_version());
        status = 0;
    }
    fflush(stdout);
    _exit(status);
}

// Not by pim_options_read(), which would complain of a bad option in programs
// that have no Python.
static bool
asked_to_check(void)
{
    const char *value = getenv("PIMALLOC_CHECK");
    return value != NULL && strcmp(value, "1") == 0;
}

__attribute__((constructor)) static void
process_starts(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)envp;
    if (getauxval(AT_SECURE) != 0) {
        is_privileged = true; // the user of a setuid program is not its owner
        return;
    }
    const void *python = dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    int err = 0;
    if (python != NULL) {
        tried = module_of(python);
        err = try_install(NULL);
    }
    if (asked_to_check()) {
        check(python != NULL, err, argv);
    }
}
