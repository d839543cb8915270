// mi.c -- finding, checking and loading libmimalloc.
//
// The SONAME says little: 3.0 has the same one and binds heaps to threads.  So
// every candidate is asked for its version before anything else, and closed
// again if it is too old.

#define _GNU_SOURCE

#include "mi/mi.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "platform/gate.h"
#include "platform/module.h"
#include "platform/os.h"
#include "platform/privilege.h"

#define SONAME "libmimalloc.so.3"

// What comes from mimalloc is little, so a smaller arena costs nothing and makes
// mimalloc's bitmaps several times smaller.
#define OPTION_ARENA_RESERVE 23
#define ARENA_RESERVE_DEFAULT_KIB (1024L * 1024)
#define ARENA_RESERVE_KIB (256L * 1024)
#define ARENA_RESERVE_MIN_KIB (32L * 1024)
#define ADDRESS_SHARE 32 // of a limited address space, as a divisor

pim_mi_ops pim_mi;

static struct {
    void *handle;
    int version;
} loaded;

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
    return bind(handle, "mi_usable_size", &mi->usable_size) &&
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
    if (!pim_gate_is_adrift()) { // else mimalloc may be locked for ever
        thread_done();
    }
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
    for (pthread_key_t key = 0; ours != NULL && key < PTHREAD_KEYS_MAX; key++) {
        if (pthread_getspecific(key) == ours) {
            theap_key = key;
            pim_store_release(&pim_gate_on_thread_exit[PIM_EXIT_MI],
                              end_thread);
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
    return 0;
}

// The file that this code is in.  If it is the program's, the kernel knows it, but
// in a privileged process that may be a link in a folder of the caller's.  Never
// look into the current directory for a library.
static bool
path_of_us(char path[PATH_MAX])
{
    pim_module_path(&pim_mi, path);
    if (path[0] == '/') {
        return true;
    }
    ssize_t n =
        pim_is_privileged() ? -1 : readlink("/proc/self/exe", path, PATH_MAX);
    if (n <= 0 || n >= PATH_MAX) {
        return false;
    }
    path[n] = '\0';
    return true;
}

// The copy installed beside us: DIR/pimalloc/libmimalloc.so.3.
static bool
path_beside_us(char path[PATH_MAX])
{
    char us[PATH_MAX];
    if (!path_of_us(us)) {
        return false;
    }
    int n = snprintf(path, PATH_MAX, "%.*s/pimalloc/" SONAME,
                     (int)(strrchr(us, '/') - us), us);
    return n > 0 && n < PATH_MAX &&
           (!pim_is_privileged() || pim_privilege_trusts(path));
}

// What a module calls itself, whatever its file is called; NULL: nothing.
static const char *
soname_of(const struct dl_phdr_info *info)
{
    const char *names = NULL;
    size_t at = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) {
            continue;
        }
        const ElfW(Dyn) *d =
            (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        for (; d->d_tag != DT_NULL; d++) {
            if (d->d_tag == DT_SONAME) {
                at = d->d_un.d_val;
            } else if (d->d_tag == DT_STRTAB) {
                names = (const char *)d->d_un.d_ptr;
            }
        }
    }
    // Not relocated: no module of the loader's.
    bool usable = at != 0 && (uintptr_t)names >= info->dlpi_addr;
    return usable ? names + at : NULL;
}

static int
is_mimalloc(struct dl_phdr_info *info, size_t info_size, void *found)
{
    const char *name = soname_of(info);
    (void)info_size;
    if (name == NULL || strcmp(name, SONAME) != 0) {
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

// A mimalloc that all modules see, of any version and name, such as the process's
// malloc.  A second one beside it would call the functions of the first.
static bool
path_of_global(char path[PATH_MAX])
{
    const void *version = dlsym(RTLD_DEFAULT, "mi_version");
    if (version != NULL) {
        pim_module_path(version, path);
    }
    return version != NULL;
}

// A relative one would be looked for where the process was started.
static bool
is_relative(const char *path)
{
    return path[0] != '/' && strchr(path, '/') != NULL;
}

int
pim_mi_load(const char *path, char *why, size_t why_size)
{
    if (loaded.handle != NULL) {
        return 0;
    }
    if (pim_is_privileged()) {
        pim_privilege_forget("MIMALLOC_");
    }
    if (path != NULL && is_relative(path) && pim_is_privileged()) {
        snprintf(why, why_size, "%s is no absolute path", path);
        return -ENOENT;
    }
    if (path != NULL) {
        int err = take(path, 0, why, why_size);
        if (err == -ENOENT) {
            snprintf(why, why_size, "%s cannot be loaded: %s", path, dlerror());
        }
        return err;
    }

    char present[PATH_MAX];
    if (path_of_global(present)) {
        snprintf(why, why_size,
                 "the mimalloc of this program%s%s cannot be used",
                 present[0] != '\0' ? ", " : "", present);
        return present[0] != '\0' ? take(present, RTLD_NOLOAD, why, why_size)
                                  : -ENOENT;
    }
    char beside[PATH_MAX];
    bool beside_us = path_beside_us(beside);
    struct {
        const char *path;
        int flags;
    } const candidates[] = {
        // A second copy would waste memory.
        {path_in_process(present) ? present : NULL, RTLD_NOLOAD},
        {beside_us ? beside : NULL, 0},
        {SONAME, 0},
    };
    snprintf(why, why_size,
             "libmimalloc 3.6 or newer was not found (looked for " SONAME
             " in the process%s and where the loader looks)",
             beside_us ? ", beside pimalloc" : "");
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

int
pim_mi_version(void)
{
    return loaded.version;
}

// The process's malloc() itself may have an address in the program, where that is
// linked to a fixed place and takes it (Debian's python3), so its neighbour is asked.
bool
pim_mi_is_process_malloc(void)
{
    Dl_info of_malloc;
    Dl_info of_mi;
    void *process_malloc = dlsym(RTLD_DEFAULT, "malloc_usable_size");
    void *mi_malloc =
        loaded.handle != NULL ? dlsym(loaded.handle, "mi_malloc") : NULL;
    return process_malloc != NULL && mi_malloc != NULL &&
           dladdr(process_malloc, &of_malloc) != 0 &&
           dladdr(mi_malloc, &of_mi) != 0 &&
           of_malloc.dli_fbase == of_mi.dli_fbase;
}
