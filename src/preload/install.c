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

#include "api/install.h"
#include "base/atomic.h"
#include "cpython/bind.h"
#include "cpython/symbols.h"
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

<<<<<<< HEAD
// Texts of pimalloc_strerror() begin with our name, others do not.
static const char *
without_name(const char *text)
{
    static const char name[] = "pimalloc: ";
    size_t length = sizeof(name) - 1;
    return strncmp(text, name, length) == 0 ? text + length : text;
}

// What was asked for and is not done where Python is not served; "": nothing
// that would be missed.  pimalloc-run --check tells it in its answer.
static const char *
missed(void)
{
    const pim_options *o = &pim_preload_options;
    bool limit = o->limit_soft != 0;
    bool leaks = o->leaks != PIM_LEAKS_UNTOLD;
    return o->run_check     ? ""
           : limit && leaks ? ", PIMALLOC_LIMIT and PIMALLOC_LEAKS do nothing"
           : limit          ? ", PIMALLOC_LIMIT does nothing"
           : leaks          ? ", PIMALLOC_LEAKS does nothing"
                            : "";
}

static void
say_why_not(const char *undone, const char *why)
{
    pim_say("pimalloc: not active in %s (process %ld)%s: %s\n",
            program_invocation_short_name, (long)getpid(), undone,
            without_name(why));
}

void
pim_preload_say_why_not(const char *why)
{
    if (pim_preload_options.verbose) {
        say_why_not("", why);
    }
}

void
pim_preload_not_served(const char *why)
{
    const char *undone = missed();
    if (pim_preload_options.verbose || undone[0] != '\0') {
        say_why_not(undone, why);
    }
    pim_preload_leaks_unknown();
}

// Once: a thread of ours may be reading them.
static void
read_options(void)
{
    static bool done;
    if (!done) {
        done = true;
        pim_options_read(&pim_preload_options);
    }
}

// Python is in this process, so what the process starts from now on gets what
// it is to get.
=======
// Python is in this process, so what the process starts from now on gets what it
// is to get.
>>>>>>> circles
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

<<<<<<< HEAD
// --- at the start of the process -------------------------------------------

// argv of a program that is python itself, whose words mean what choice.c
// reads.
static char **
argv_of_python(char **argv)
{
    return pim_py_is_program() ? argv : NULL;
}

// pimalloc-run --check: tells the outcome, and the program itself never runs.
static void
check(bool has_python, char **argv)
{
    const char *other = pim_preload_other_choice(argv_of_python(argv));
    int status = 1;
    if (!has_python) {
        printf(pim_preload_keeps_out()
                   ? "no CPython in this program at its start; one that it "
                     "loads later is served, its child processes are not\n"
                   : "no CPython in this program at its start; one that it "
                     "loads later, and its child processes, are served\n");
        status = 2;
    } else if (outcome != 0) {
        printf("not served: %s\n", without_name(pimalloc_strerror(outcome)));
    } else if (other != NULL) {
        printf("not served: %s\n", other);
    } else {
        const char *version = pim_py.get_version(); // and more behind it
        printf(
            "CPython %.*s is served by pimalloc %d.%d.%d (mimalloc %d.%d.%d)\n",
            (int)strcspn(version, " "), version, PIMALLOC_VERSION_MAJOR,
            PIMALLOC_VERSION_MINOR, PIMALLOC_VERSION_PATCH,
            PIM_VERSION_PARTS(pim_mi_version()));
        status = 0;
    }
    fflush(stdout);
    _exit(status);
}

// Whether something may be written to stderr later.  Programs without Python
// and without our options are spared the system call.
static bool
may_speak(bool has_python)
{
    return has_python || secure_getenv("PIMALLOC_STATS") != NULL ||
           secure_getenv("PIMALLOC_STATS_SIGNAL") != NULL ||
           secure_getenv("PIMALLOC_LEAKS") != NULL ||
           secure_getenv("PIMALLOC_LIMIT") != NULL ||
           secure_getenv("PIMALLOC_VERBOSE") != NULL;
}

// Not by pim_options_read(), which would complain of a bad option in programs
// that have no Python.
static bool
asked_to_check(void)
{
    const char *value = secure_getenv("PIMALLOC_RUN_CHECK");
    return value != NULL && strcmp(value, "1") == 0;
}

// Python is in this program from the start.
static void
try_first(const void *python, char **argv)
{
    const char *other = pim_preload_other_choice(argv_of_python(argv));
=======
// One that is told to use another allocator would replace us at once.
void
pim_preload_try_first(const void *python, const char *other)
{
    settle_children();
>>>>>>> circles
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
