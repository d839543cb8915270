// mi.c -- finding, checking and loading libmimalloc.
//
// The SONAME says little: 3.0 has the same one and binds heaps to threads.  So
// every candidate is asked for its version before anything else, and closed
// again if it is too old.
//
// Loading takes as long as a thirtieth of all of Python's start, and most short
// programs end before they need what it gives.  So pim_mi_find() settles for a
// promise: a file that has the functions which only a new enough mimalloc has.
// It is loaded when a heap asks for it, and if that fails after all (the file is
// gone, or tells another version), libc's malloc goes on serving.
//
// After exit() has begun, mimalloc's own teardown may run before ours: heaps are
// then neither made nor destroyed (MI-1).

#define _GNU_SOURCE

#include "mi/mi.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include "base/atomic.h"
#include "mi/elf.h"
#include "platform/gate.h"
#include "platform/os.h"

#define SONAME "libmimalloc.so.3"

// Blocks above the small limit are few, so a smaller arena costs nothing and
// makes a heap's bitmap in it several times smaller.
#define OPTION_ARENA_RESERVE 23
#define ARENA_RESERVE_DEFAULT_KIB (1024L * 1024)
#define ARENA_RESERVE_KIB (256L * 1024)
#define ARENA_RESERVE_MIN_KIB (32L * 1024)
#define ADDRESS_SHARE 32 // of a limited address space, as a divisor

pim_mi_ops pim_mi;
_Atomic bool pim_mi_loaded;

// A library to be loaded at need; `made` is taken back by who loads it.
static struct {
    _Atomic bool made;
    char path[PATH_MAX];
} promise;

static struct {
    void *handle;
    int version;
    _Atomic bool exiting;
    pim_mi_heap *(*heap_new)(void);
    void (*heap_destroy)(pim_mi_heap *);
} loaded;

static pim_mi_heap *
heap_new_unless_exiting(void)
{
    return pim_load_relaxed(&loaded.exiting) ? NULL : loaded.heap_new();
}

static void
heap_destroy_unless_exiting(pim_mi_heap *heap)
{
    if (!pim_load_relaxed(&loaded.exiting)) {
        loaded.heap_destroy(heap);
    }
}

static void
process_exits(void)
{
    pim_store_relaxed(&loaded.exiting, true);
}

// dlsym() into a function pointer of any type; ISO C has no such cast.
static bool
bind(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool
bind_all(void *handle)
{
    pim_mi_ops *mi = &pim_mi;
    return bind(handle, "mi_heap_new", &loaded.heap_new) &&
           bind(handle, "mi_heap_destroy", &loaded.heap_destroy) &&
           bind(handle, "mi_heap_malloc", &mi->heap_malloc) &&
           bind(handle, "mi_heap_zalloc", &mi->heap_zalloc) &&
           bind(handle, "mi_usable_size", &mi->usable_size) &&
           bind(handle, "mi_free", &mi->free) &&
           bind(handle, "mi_umalloc", &mi->umalloc) &&
           bind(handle, "mi_ucalloc", &mi->ucalloc) &&
           bind(handle, "mi_urealloc", &mi->urealloc) &&
           bind(handle, "mi_ufree", &mi->ufree) &&
           bind(handle, "mi_any_heap_contains", &mi->contains) &&
           bind(handle, "mi_arenas_purge", &mi->purge);
}

// mi_version() of a candidate; -1 if it has none.
static int
version_of(void *handle)
{
    int (*version)(void) = NULL;
    return bind(handle, "mi_version", &version) ? version() : -1;
}

// Makes mimalloc cheaper for small processes.
//
// It asks for huge pages in the arenas that it reserves itself, which costs a
// process of a few interpreters tens of MiB; so the first arena is reserved here,
// without.  A process that outgrows it is large enough to gain from the others.
static void
tune(void *handle)
{
    long (*get)(int) = NULL;
    void (*set)(int, long) = NULL;
    int (*reserve)(size_t, bool, bool, bool, void **) = NULL;
    if (bind(handle, "mi_option_get", &get) &&
        bind(handle, "mi_option_set", &set) &&
        bind(handle, "mi_reserve_os_memory_ex", &reserve) &&
        get(OPTION_ARENA_RESERVE) == ARENA_RESERVE_DEFAULT_KIB) {
        size_t share = pim_os_address_limit() / 1024 / ADDRESS_SHARE;
        long kib = share < ARENA_RESERVE_MIN_KIB ? ARENA_RESERVE_MIN_KIB
                   : share < ARENA_RESERVE_KIB   ? (long)share
                                                 : ARENA_RESERVE_KIB;
        set(OPTION_ARENA_RESERVE, kib);
        reserve((size_t)kib * 1024, false, false, false, NULL);
    }
}

// --- ends of threads -------------------------------------------------------
//
// mimalloc takes locks when a thread ends, in the destructor of a key of its own:
// outside the gate, where fork() would not wait for it.  So we call
// mi_thread_done() inside.  But that leaves the key pointing at the thread's
// theap, which is freed by then and may be another thread's already, and the
// destructor reads it.  So the key is emptied as well.  Which it is, its value in
// this thread tells.

static pthread_key_t theap_key;
static void (*thread_done)(void);

static void
end_thread(void)
{
    thread_done();
    pthread_setspecific(theap_key, NULL);
}

// If the key is not found, mimalloc's own destructor is left to do it.
static void
take_over_thread_ends(void *handle)
{
    void *(*theap)(void) = NULL;
    if (!bind(handle, "mi_thread_done", &thread_done) ||
        !bind(handle, "mi_theap_get_default", &theap)) {
        return;
    }
    const void *ours = theap();
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++) {
        if (pthread_getspecific(key) == ours) {
            theap_key = key;
            pim_gate_on_thread_exit = end_thread;
            return;
        }
    }
}

// Takes one candidate if it is new enough.  0, -ENOENT or -EPROTO.
static int
take(const char *path, int extra_flags, char *why, size_t why_size)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | extra_flags);
    if (handle == NULL) {
        return -ENOENT;
    }
    int version = version_of(handle);
    if (version < PIM_MI_VERSION_MIN || !bind_all(handle)) {
        const char *lack = version < 0                    ? "is no mimalloc"
                           : version < PIM_MI_VERSION_MIN ? "is too old"
                                                          : "lacks functions";
        snprintf(why, why_size,
                 "%s (mimalloc %d) %s: pimalloc needs version 3.6 (%d) or "
                 "newer",
                 path, version, lack, PIM_MI_VERSION_MIN);
        dlclose(handle); // so that its SONAME does not stand in the way
        return -EPROTO;
    }
    dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | extra_flags);
    loaded.handle = handle;
    loaded.version = version;
    if (!pim_mi_is_process_malloc()) {
        tune(handle);
    }
    take_over_thread_ends(handle);
    pim_mi.heap_new = heap_new_unless_exiting;
    pim_mi.heap_destroy = heap_destroy_unless_exiting;
    atexit(process_exits);
    pim_store_release(&pim_mi_loaded, true);
    return 0;
}

// The file that this code is in.  Of a program that contains it the loader knows
// what it was called by, which may be relative to where it was started, so the
// kernel is asked: never look into the current directory for a library.
static bool
path_of_us(char *path, size_t size)
{
    Dl_info us;
    if (dladdr((void *)&pim_mi, &us) == 0 || us.dli_fname == NULL) {
        return false;
    }
    if (us.dli_fname[0] == '/') {
        int n = snprintf(path, size, "%s", us.dli_fname);
        return n > 0 && (size_t)n < size;
    }
    ssize_t n = readlink("/proc/self/exe", path, size);
    if (n <= 0 || (size_t)n >= size) {
        return false;
    }
    path[n] = '\0';
    return true;
}

// The copy installed beside us: DIR/pimalloc/libmimalloc.so.3.
static bool
path_beside_us(char *path, size_t size)
{
    char us[PATH_MAX];
    if (!path_of_us(us, sizeof(us))) {
        return false;
    }
    int n = snprintf(path, size, "%.*s/pimalloc/" SONAME,
                     (int)(strrchr(us, '/') - us), us);
    return n > 0 && (size_t)n < size;
}

static int
is_mimalloc(struct dl_phdr_info *info, size_t info_size, void *found)
{
    const char *slash = strrchr(info->dlpi_name, '/');
    (void)info_size;
    if (slash == NULL || strncmp(slash + 1, SONAME, strlen(SONAME)) != 0) {
        return 0;
    }
    snprintf(found, PATH_MAX, "%s", info->dlpi_name);
    return 1;
}

// The copy in the process.  Asking dlopen for the bare name would search all its
// folders, for longer than Python takes to load a module.
static bool
path_in_process(char path[PATH_MAX])
{
    return dl_iterate_phdr(is_mimalloc, path) != 0;
}

int
pim_mi_load(const char *path, char *why, size_t why_size)
{
    if (loaded.handle != NULL) {
        return 0;
    }
    if (path != NULL) {
        int err = take(path, 0, why, why_size);
        if (err == -ENOENT) {
            snprintf(why, why_size, "%s cannot be loaded: %s", path, dlerror());
        }
        return err;
    }

    char present[PATH_MAX];
    char beside[PATH_MAX];
    struct {
        const char *path;
        int flags;
    } const candidates[] = {
        // A second copy would waste memory.
        {path_in_process(present) ? present : NULL, RTLD_NOLOAD},
        {path_beside_us(beside, sizeof(beside)) ? beside : NULL, 0},
        {SONAME, 0},
    };
    snprintf(why, why_size,
             "libmimalloc 3.6 or newer was not found (looked for " SONAME
             " in the process, beside pimalloc and where the loader looks)");
    int err = -ENOENT;
    for (size_t i = 0; i < PIM_ARRAY_LEN(candidates); i++) {
        if (candidates[i].path == NULL) {
            continue;
        }
        int e = take(candidates[i].path, candidates[i].flags, why, why_size);
        if (e == 0) {
            return 0;
        }
        err = e == -EPROTO ? e : err;
    }
    return err;
}

// --- promises --------------------------------------------------------------

// Whether a file will do: it has what we call, and what 3.6 brought.
static bool
will_do(const char *path)
{
    static const char *const names[] = {
        "mi_version",      "mi_heap_new",     "mi_heap_destroy",
        "mi_heap_malloc",  "mi_heap_zalloc",  "mi_usable_size",
        "mi_free",         "mi_umalloc",      "mi_ucalloc",
        "mi_urealloc",     "mi_ufree",        "mi_any_heap_contains",
        "mi_arenas_purge", "mi_heap_profile", "mi_theap_quiescent_abandon",
    };
    return pim_elf_defines(path, names, PIM_ARRAY_LEN(names));
}

// In a forked child.  Of the threads that are gone one may have been in the loader,
// whose lock then stays taken.
static void
break_promise_unless_alone(void)
{
    if (!__libc_single_threaded) {
        pim_store_relaxed(&promise.made, false);
    }
}

static bool
promise_file(const char *path)
{
    // What a relative path means may have changed when it is loaded.
    if (path[0] != '/' || !will_do(path)) {
        return false;
    }
    int n = snprintf(promise.path, sizeof(promise.path), "%s", path);
    if (n <= 0 || (size_t)n >= sizeof(promise.path)) {
        return false;
    }
    pim_store_release(&promise.made, true);
    pthread_atfork(NULL, NULL, break_promise_unless_alone);
    return true;
}

// Looks into the folders that the loader looks into for us.
static bool
promise_systems(void)
{
    Dl_info us;
    struct link_map *map = NULL;
    Dl_serinfo first;
    if (dladdr1((void *)&pim_mi, &us, (void **)&map, RTLD_DL_LINKMAP) == 0 ||
        dlinfo(map, RTLD_DI_SERINFOSIZE, &first) != 0) {
        return false;
    }
    Dl_serinfo *all = malloc(first.dls_size);
    if (all == NULL) {
        return false;
    }
    bool found = false;
    all->dls_size = first.dls_size;
    all->dls_cnt = first.dls_cnt;
    if (dlinfo(map, RTLD_DI_SERINFO, all) == 0) {
        for (unsigned i = 0; i < all->dls_cnt && !found; i++) {
            char path[PATH_MAX];
            int n = snprintf(path, sizeof(path), "%s/" SONAME,
                             all->dls_serpath[i].dls_name);
            found = n > 0 && (size_t)n < sizeof(path) && promise_file(path);
        }
    }
    free(all);
    return found;
}

static bool
promise_any(const char *path)
{
    char beside[PATH_MAX];
    if (path != NULL) {
        return promise_file(path);
    }
    return (path_beside_us(beside, sizeof(beside)) && promise_file(beside)) ||
           promise_systems();
}

int
pim_mi_find(const char *path, char *why, size_t why_size)
{
    char present[PATH_MAX];
    if (pim_load_relaxed(&promise.made)) {
        return 0;
    }
    // One that is in the process needs no start of its own.
    bool waits =
        loaded.handle == NULL && !path_in_process(present) && promise_any(path);
    return waits ? 0 : pim_mi_load(path, why, why_size);
}

void
pim_mi_keep_promise(void)
{
    char why[PATH_MAX + 256];
    if (pim_load_relaxed(&promise.made) && pim_exchange(&promise.made, false)) {
        int saved = errno;
        take(promise.path, 0, why, sizeof(why));
        errno = saved;
    }
}

int
pim_mi_version(void)
{
    return loaded.version;
}

bool
pim_mi_is_process_malloc(void)
{
    Dl_info of_malloc;
    Dl_info of_mi;
    void *process_malloc = dlsym(RTLD_DEFAULT, "malloc");
    void *mi_malloc =
        loaded.handle != NULL ? dlsym(loaded.handle, "mi_malloc") : NULL;
    return process_malloc != NULL && mi_malloc != NULL &&
           dladdr(process_malloc, &of_malloc) != 0 &&
           dladdr(mi_malloc, &of_mi) != 0 &&
           of_malloc.dli_fbase == of_mi.dli_fbase;
}
