// install.c -- when does a Python in this process get pimalloc?
//
//   there at start (python3, a program linked with libpython)   start.c
//   loaded later, or initialised again                          locale.c
//
// At both moments nothing was allocated yet that could be lost, and Python has
// not yet looked at PYTHONMALLOC: if that or a PyPreConfig chooses another
// allocator, Python replaces us right afterwards and runs as if we were not
// there.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <unistd.h>

#include "base/atomic.h"
#include "cpython/symbols.h"
#include "api/install.h"
#include "cpython/bind.h"
#include "cpython/table.h"
#include "platform/privilege.h"
#include "preload/preload.h"

// The module of the Python that was tried last.
static const struct link_map *tried;

// The process in which a thread is trying; 0: none.  A forked child is another.
static _Atomic int busy;

// glibc 2.35.  Made for unwinders: no lock, so that it may be called while this
// or another thread is in the loader.  Looked up, since libc may be older.
typedef __typeof__(_dl_find_object) find_object;

// --- whose code is it? -----------------------------------------------------

// NULL: libc has none.  By our constructor at the latest.
static find_object *
object_finder(void)
{
    static _Atomic(find_object *) finder;
    static _Atomic bool looked;
    if (!pim_load_acquire(&looked)) {
        // A function pointer from an object pointer, as POSIX has it.
        void *found = dlsym(RTLD_DEFAULT, "_dl_find_object");
        pim_store_release(&finder, (find_object *)(uintptr_t)found);
        pim_store_release(&looked, true);
    }
    return pim_load_acquire(&finder);
}

void
pim_preload_find_finder(void)
{
    object_finder();
}

// NULL: in none, or libc is too old to say.
static const struct link_map *
module_of(const void *address)
{
    struct dl_find_object found;
    find_object *find = object_finder();
    return find != NULL && find((void *)(uintptr_t)address, &found) == 0
               ? found.dlfo_link_map
               : NULL;
}

// A handle of a module, which stays loaded from now on.
static void *
handle_of(const struct link_map *map)
{
    const char *name = map->l_name[0] != '\0' ? map->l_name : NULL;
    return dlopen(name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

// --- trying ----------------------------------------------------------------

// Python is in this process, so what the process starts from now on gets what
// it is to get.
static void
settle_children(void)
{
    if (pim_preload_keeps_out()) {
        pim_preload_read_options();
        pim_options_keep(&pim_preload_options);
        pim_preload_leave_environment();
    }
}

// `python` as for pim_install().
static void
try_install(void *python)
{
    pim_preload_read_options();
    pim_preload_outcome = pim_install(NULL, python, true);
    if (pim_preload_outcome != 0) {
        pim_preload_not_served(pimalloc_strerror(pim_preload_outcome));
        return;
    }
    pim_preload_installed = true;
    pim_preload_begin_profile();
    pim_preload_watch_signal();
    pim_preload_watch_exit();
}

// Whether the Python that we served is gone, and the next runtime begins on its
// own allocators.
static bool
begins_again(void)
{
    return pim_interp_is_served() && pim_py.interp_main() == NULL &&
           pim_table_was_reset();
}

// One thread at a time.
static void
runtime_starts_in(const struct link_map *python)
{
    static bool told;
    settle_children();
    if (tried == python) {
        if (begins_again()) {
            try_install(handle_of(python));
        }
    } else if (!pim_preload_installed) {
        tried = python;
        try_install(handle_of(python));
    } else if (!told) {
        told = true;
        pim_preload_not_served("this is about its second Python, which keeps "
                               "its own allocator; the first one is served");
    }
}

// Most callers are strangers, in programs without Python, and maybe in the
// loader, between fork and exec or in a signal handler: they find no lock of
// ours or of the loader's in their way, and nothing that changes what dlerror()
// says.  Who comes while another thread starts a Python does not wait for it.
void
pim_preload_runtime_starts(const void *caller)
{
    const struct link_map *map = module_of(caller);
    if (map == NULL || !pim_preload_defines(map, "PyMem_SetAllocator") ||
        pim_is_privileged() || pim_preload_is_child()) {
        return;
    }
    int self = getpid();
    int before = pim_load_relaxed(&busy);
    if (before != self &&
        atomic_compare_exchange_strong(&busy, &before, self)) {
        runtime_starts_in(map);
        pim_store_release(&busy, 0);
    }
}

// One that is told to use another allocator would replace us at once.
void
pim_preload_try_first(const void *python, const char *other)
{
    settle_children();
    if (tried != NULL) {
        return; // a constructor before ours has started it
    }
    tried = module_of(python);
    if (pim_preload_is_child()) {
        pim_preload_say_why_not("PIMALLOC_CHILDREN=0 of a parent process keeps "
                                "pimalloc from its children");
    } else if (other != NULL) {
        pim_preload_read_options();
        pim_preload_not_served(other);
    } else {
        try_install(tried != NULL ? handle_of(tried) : NULL);
    }
}
