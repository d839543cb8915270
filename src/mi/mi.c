// mi.c -- finding, checking and loading libmimalloc.
//
// The SONAME says little: 3.0 has the same one and binds heaps to threads.  So
// every candidate is asked for its version before anything else, and closed
// again if that will not do; then it has to show what it can (self_test.c).

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

#include "mi/self_test.h"
#include "platform/gate.h"
#include "platform/lock.h"
#include "platform/module.h"
#include "platform/privilege.h"
#include "platform/room.h"

#define SONAME "libmimalloc.so.3"

// What comes from mimalloc is little, so a smaller arena costs nothing and
// makes mimalloc's bitmaps several times smaller.
#define OPTION_ARENA_RESERVE 23
#define ARENA_RESERVE_DEFAULT_KIB (1024L * 1024)
#define ARENA_RESERVE_KIB (256L * 1024)
#define ARENA_RESERVE_MIN_KIB (32L * 1024)
#define ADDRESS_SHARE 8 // of what is left, as a divisor

pim_mi_ops pim_mi;
_Atomic bool pim_mi_is_prepared;

static struct {
    void *handle;
    int version;
} loaded;

// mi_version() of a candidate; -1 if it has none.
static int
version_of(void *handle)
{
    int (*version)(void) = NULL;
    return pim_mi_symbol(handle, "mi_version", &version) ? version() : -1;
}

// --- arenas ------------------------------------------------------------------
//
// An arena takes much address space, and under the preload library hardly a
// block is asked of mimalloc.  So it has none before the first one is.

static struct {
    long (*get)(int);
    void (*set)(int, long);
    int (*reserve)(size_t, bool, bool, bool, void **);
} arenas;

// Whether the sizes of arenas are ours to choose.
static bool
may_tune(void *handle)
{
    return pim_mi_symbol(handle, "mi_option_get", &arenas.get) &&
           pim_mi_symbol(handle, "mi_option_set", &arenas.set) &&
           pim_mi_symbol(handle, "mi_reserve_os_memory_ex", &arenas.reserve) &&
           arenas.get(OPTION_ARENA_RESERVE) == ARENA_RESERVE_DEFAULT_KIB;
}

// Whether an arena of so many KiB leaves enough to others.
static bool
is_affordable(long kib)
{
    return pim_has_addresses((size_t)kib * 1024 * ADDRESS_SHARE);
}

// Makes mimalloc cheaper for small processes.
//
// It asks for huge pages in the arenas that it reserves itself, which costs a
// process of a few interpreters tens of MiB; so the first arena is reserved
// here, without.  A process that outgrows it is large enough to gain from the
// others.  Where address space is scarce it gets none, and maps what it needs.
static void
tune(void)
{
    long kib = ARENA_RESERVE_KIB;
    while (kib >= ARENA_RESERVE_MIN_KIB && !is_affordable(kib)) {
        kib /= 2;
    }
    if (kib < ARENA_RESERVE_MIN_KIB) {
        arenas.set(OPTION_ARENA_RESERVE, 0);
        return;
    }
    arenas.set(OPTION_ARENA_RESERVE, kib);
    arenas.reserve((size_t)kib * 1024, false, false, false, NULL);
}

PIM_COLD void
pim_mi_prepare(void)
{
    static PIM_LOCK(lock);
    pim_lock_acquire(&lock);
    if (!pim_load_relaxed(&pim_mi_is_prepared)) {
        tune();
        pim_store_release(&pim_mi_is_prepared, true);
    }
    pim_lock_release(&lock);
}

// The self-test of a mimalloc that is ours alone, which gets no arena for it.
static int
test_without_arena(const pim_mi_ops *mi, const char **fault)
{
    arenas.set(OPTION_ARENA_RESERVE, 0);
    int err = pim_mi_self_test(mi, fault);
    arenas.set(OPTION_ARENA_RESERVE, ARENA_RESERVE_DEFAULT_KIB);
    return err;
}

// --- ends of threads -------------------------------------------------------
//
// mimalloc takes locks when a thread ends, in the destructor of a key of its
// own: outside the gate, where fork() would not wait for it.  So we call
// mi_thread_done() inside.  But that leaves the key pointing at the thread's
// theap, which is freed by then and may be another thread's already, and the
// destructor reads it.  So the key is emptied as well.  Which it is, its value
// in this thread tells.

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
    if (!pim_mi_symbol(handle, "mi_thread_done", &thread_done) ||
        !pim_mi_symbol(handle, "mi_theap_get_default", &theap)) {
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

// --- candidates --------------------------------------------------------------

// What stands against a library, by its number and by what it has; NULL:
// nothing, and `mi` is bound to it.
static const char *
lack_of(void *handle, pim_mi_ops *mi, char *text, size_t size)
{
    int version = version_of(handle);
    const char *lack =
        version < 0 ? "is no mimalloc" : pim_mi_version_lack(version);
    if (lack != NULL) {
        return lack;
    }
    const char *name = pim_mi_bind(handle, mi);
    if (name == NULL) {
        return NULL;
    }
    snprintf(text, size, "lacks %s()", name);
    return text;
}

static int
refuse(const char *path, void *handle, const char *lack, char *why,
       size_t why_size)
{
    snprintf(why, why_size,
             "%s (mimalloc %d) %s: pimalloc needs version 3.6 (%d) or newer, "
             "below 4",
             path, version_of(handle), lack, PIM_MI_VERSION_MIN);
    return -EPROTO;
}

static int
no_room(char *why, size_t why_size)
{
    snprintf(why, why_size,
             "no address space for mimalloc, which needs %zu MiB to start; "
             "raise the limit of virtual memory (ulimit -v, -d), that of maps "
             "(vm.max_map_count), or that of locked memory (ulimit -l) if "
             "mlockall() locks all maps",
             PIM_MI_START_BYTES >> 20);
    return -ENOMEM;
}

// Puts what is loaded to use if it works; `is_new`: nobody used it before.
static int
start(void *handle, const pim_mi_ops *mi, bool is_new, const char **fault)
{
    loaded.handle = handle; // of which the next line asks
    bool is_ours = !pim_mi_is_process_malloc() && may_tune(handle);
    int err = is_ours && is_new ? test_without_arena(mi, fault)
                                : pim_mi_self_test(mi, fault);
    if (err != 0) {
        loaded.handle = NULL;
        return err;
    }
    loaded.version = version_of(handle);
    pim_mi = *mi;
    pim_store_release(&pim_mi_is_prepared, !is_ours);
    return 0;
}

// Takes one candidate if it will do.  0, -ENOENT, -EPROTO or -ENOMEM.
static int
take(const char *path, int extra_flags, char *why, size_t why_size)
{
    const int flags = RTLD_NOW | RTLD_LOCAL | extra_flags;
    bool is_new = (extra_flags & RTLD_NOLOAD) == 0;
    if (is_new && !pim_has_room(PIM_MI_START_BYTES, PIM_MI_START_MAPS)) {
        return no_room(why, why_size);
    }
    void *handle = dlopen(path, flags);
    if (handle == NULL) {
        return -ENOENT;
    }
    char text[64];
    pim_mi_ops mi;
    const char *lack = lack_of(handle, &mi, text, sizeof(text));
    if (lack != NULL) {
        refuse(path, handle, lack, why, why_size);
        dlclose(handle); // so that its SONAME does not stand in the way
        return -EPROTO;
    }
    // From here on threads may have to do with it when they end.
    dlopen(path, flags | RTLD_NODELETE);
    int err = start(handle, &mi, is_new, &lack);
    if (err == 0) {
        take_over_thread_ends(handle);
    }
    return err == -EPROTO   ? refuse(path, handle, lack, why, why_size)
           : err == -ENOMEM ? no_room(why, why_size)
                            : err;
}

// The file that this code is in.  If it is the program's, the kernel knows it,
// but in a privileged process that may be a link in a folder of the caller's.
// Never look into the current directory for a library.
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

// The copy in the process.  Asking dlopen for the bare name would search all
// its folders, for longer than Python takes to load a module.
static bool
path_in_process(char path[PATH_MAX])
{
    return dl_iterate_phdr(is_mimalloc, path) != 0;
}

// A mimalloc that all modules see, of any version and name, such as the
// process's malloc.  A second one beside it would call the functions of the
// first.
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
             " in the process%s%s and where the loader looks)",
             beside_us ? ", as " : "", beside_us ? beside : "");
    int err = -ENOENT;
    for (size_t i = 0; i < PIM_ARRAY_LEN(candidates); i++) {
        if (candidates[i].path == NULL) {
            continue;
        }
        int e = take(candidates[i].path, candidates[i].flags, why, why_size);
        if (e == 0 || e == -ENOMEM) {
            return e;
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

// The process's malloc() itself may have an address in the program, where that
// is linked to a fixed place and takes it (Debian's python3), so its neighbour
// is asked.
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
