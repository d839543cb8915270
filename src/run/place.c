// place.c -- looking for files beside the launcher.

#define _GNU_SOURCE

#include "run/place.h"

#include <err.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/compiler.h"
#include "mi/mi.h"
#include "platform/room.h"
#include "run/status.h"

// Seen from BINDIR: first as installed, then as in the build tree.
static const char *const library_folders[] = {PIM_RUN_TO_LIBDIR, "../lib"};
static const char *const module_folders[] = {PIM_RUN_TO_PYTHON_DIR,
                                             "../lib/python"};

#define LIBRARY "libpimalloc-preload.so"
#define MODULE "pimalloc.abi3.so"
#define MIMALLOC "libmimalloc.so.3"

// The folder of our own file, symbolic links resolved.
static void
own_folder(char *out)
{
    const char *started_as = (const char *)getauxval(AT_EXECFN);
    if (realpath("/proc/self/exe", out) == NULL && // no /proc in a chroot
        (started_as == NULL || realpath(started_as, out) == NULL)) {
        errx(PIM_RUN_FAILED,
             "my own file cannot be found (%s), so the library beside "
             "it cannot either; is /proc mounted?",
             strerror(errno));
    }
    *strrchr(out, '/') = '\0';
}

// FOLDER/RELATIVE without "..", as people would write it.  Our own folder has no
// symbolic links, so taking names off its end is right.
static void
join(const char *folder, const char *relative, char *out, size_t size)
{
    size_t length = strlen(folder);
    while (strncmp(relative, "../", 3) == 0) {
        relative += 3;
        while (length > 0 && folder[length - 1] != '/') {
            length--;
        }
        length -= length > 0;
    }
    int n = snprintf(out, size, "%.*s/%s", (int)length, folder, relative);
    if (n < 0 || (size_t)n >= size) {
        errx(PIM_RUN_FAILED, "the path %s is too long", folder);
    }
}

// Looks for `file` in two folders relative to our own; writes the absolute path
// of the folder.
static void
find_beside_us(const char *const folders[2], const char *file, const char *what,
               char *out, size_t size)
{
    char us[PATH_MAX];
    char tried[2][PATH_MAX];
    own_folder(us);
    for (int i = 0; i < 2; i++) {
        char path[2 * PATH_MAX];
        join(us, folders[i], tried[i], sizeof(tried[i]));
        int n = snprintf(path, sizeof(path), "%s/%s", tried[i], file);
        if (n > 0 && access(path, R_OK) == 0) {
            join(us, folders[i], out, size);
            return;
        }
    }
    bool same = strcmp(tried[0], tried[1]) == 0;
    errx(PIM_RUN_FAILED,
         "%s %s is missing or cannot be read (looked in %s%s%s); "
         "install pimalloc as a "
         "whole, or build all of it",
         what, file, tried[0], same ? "" : " and ", same ? "" : tried[1]);
}

void
pim_place_library(char *out, size_t size)
{
    char folder[PATH_MAX];
    find_beside_us(library_folders, LIBRARY, "the preload library", folder,
                   sizeof(folder));
    int n = snprintf(out, size, "%s/" LIBRARY, folder);
    if (n < 0 || (size_t)n >= size) {
        errx(PIM_RUN_FAILED, "the path %s is too long", folder);
    }
}

void
pim_place_module(char *out, size_t size)
{
    find_beside_us(module_folders, MODULE, "the Python module", out, size);
}

// --- mimalloc ----------------------------------------------------------------

// Takes a candidate if it is a mimalloc and new enough, as src/mi does it; the
// SONAME says little.  Else adds to `why`.
static bool
take(const char *path, int flags, char *out, size_t size, char *why)
{
    if ((flags & RTLD_NOLOAD) == 0 &&
        !pim_has_room(PIM_MI_START_BYTES, PIM_MI_START_MAPS)) {
        errx(PIM_RUN_FAILED,
             "--with-malloc: no address space for mimalloc, which "
             "needs %zu MiB to start; raise the limit of virtual "
             "memory (ulimit -v)",
             PIM_MI_START_BYTES >> 20);
    }
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL | flags);
    if (handle == NULL) {
        return false;
    }
    int (*version)(void) = NULL;
    void *symbol = dlsym(handle, "mi_version");
    memcpy(&version, &symbol, sizeof(symbol));
    struct link_map *map = NULL;
    int found = version != NULL ? version() : 0;
    const char *lack = pim_mi_version_lack(found);
    if (lack == NULL && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) {
        // Left open: its pages go with the exec.
        int n = snprintf(out, size, "%s", map->l_name);
        return n > 0 && (size_t)n < size;
    }
    if (lack == NULL || version == NULL) {
        snprintf(why, PATH_MAX, "%s is no mimalloc", path);
    } else {
        snprintf(why, PATH_MAX, "%s %s (mimalloc %d)", path, lack, found);
    }
    dlclose(handle);
    return false;
}

void
pim_place_mimalloc(const char *library, char *out, size_t size)
{
    char why[PATH_MAX] = MIMALLOC " was not found";
    const char *named = secure_getenv("PIMALLOC_MIMALLOC");
    if (named != NULL && *named != '\0') {
        char path[PATH_MAX];
        if (realpath(named, path) != NULL && take(path, 0, out, size, why)) {
            return;
        }
        errx(PIM_RUN_FAILED,
             "--with-malloc: PIMALLOC_MIMALLOC=%s is not the path of a "
             "libmimalloc 3.6 or newer; correct it or unset it",
             named);
    }
    char beside[PATH_MAX];
    snprintf(beside, sizeof(beside), "%.*s/pimalloc/" MIMALLOC,
             (int)(strrchr(library, '/') - library), library);
    if (take(MIMALLOC, RTLD_NOLOAD, out, size, why) ||
        take(beside, 0, out, size, why) || take(MIMALLOC, 0, out, size, why)) {
        return;
    }
    errx(PIM_RUN_FAILED,
         "--with-malloc needs libmimalloc 3.6 or newer: %s (looked at "
         "%s and where the loader looks); install it (Debian: "
         "libmimalloc3) or name it in PIMALLOC_MIMALLOC",
         why, beside);
}
