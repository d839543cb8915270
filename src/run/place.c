// place.c -- looking for files beside the launcher.
//
// Only the way from BINDIR to the others is compiled in, so a tree that was
// moved works, and so does the build tree.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "mi/mi.h"
#include "platform/path.h"
#include "platform/room.h"
#include "run/run.h"

#define LIBRARY "libpimalloc-preload.so"
#define MIMALLOC "libmimalloc.so.3"

// The folder of `file`: `installed`, or else `built`, both seen from our own.
static const char *
folder_of(const char *what, const char *file, const char *installed,
          const char *built)
{
    const char *seen[] = {installed, built};
    char *us = realpath("/proc/self/exe", NULL);
    if (us == NULL) { // no /proc in a chroot
        us = realpath((const char *)getauxval(AT_EXECFN), NULL);
    }
    if (us == NULL) {
        err(PIM_RUN_FAILED, "my own file cannot be found, so the library "
                            "beside it cannot either; is /proc mounted?");
    }
    for (int i = 0; i < 2; i++) {
        char *path = pim_text("%.*s%s", (int)pim_path_folder(us), us, seen[i]);
        char *real = realpath(path, NULL);
        seen[i] = real != NULL ? real : path;
        if (access(pim_text("%s/%s", seen[i], file), R_OK) == 0) {
            return seen[i];
        }
    }
    bool same = strcmp(seen[0], seen[1]) == 0;
    pim_fail("%s %s is missing or cannot be read (looked in %s%s%s); install "
             "pimalloc as a whole, or build all of it",
             what, file, seen[0], same ? "" : " and ", same ? "" : seen[1]);
}

const char *
pim_place_library(void)
{
    return pim_text("%s/" LIBRARY, folder_of("the preload library", LIBRARY,
                                             PIM_RUN_TO_LIBDIR, "../lib"));
}

const char *
pim_place_module(void)
{
    return folder_of("the Python module", "pimalloc.abi3.so",
                     PIM_RUN_TO_PYTHON_DIR, "../lib/python");
}

// --- mimalloc ----------------------------------------------------------------

// The path of a candidate if it is a mimalloc and new enough, by the rule of
// src/mi, because the SONAME tells little; NULL: it is not.  Then *why is what
// is wrong, if there is such a file.
static const char *
take(const char *candidate, int flags, const char **why)
{
    if ((flags & RTLD_NOLOAD) == 0 &&
        !pim_has_room(PIM_MI_START_BYTES, PIM_MI_START_MAPS)) {
        pim_fail("--with-malloc: no address space for mimalloc, which needs "
                 "%zu MiB to start; raise the limit of virtual memory (ulimit "
                 "-v)",
                 PIM_MI_START_BYTES >> 20);
    }
    void *handle = dlopen(candidate, RTLD_LAZY | RTLD_LOCAL | flags);
    if (handle == NULL) {
        return NULL;
    }
    struct link_map *map;
    void *symbol = dlsym(handle, "mi_version");
    int version = symbol != NULL && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0
                      ? ((int (*)(void))(uintptr_t)symbol)()
                      : -1;
    const char *lack =
        version < 0 ? "is no mimalloc" : pim_mi_version_lack(version);
    if (lack == NULL) {
        return map->l_name; // stays loaded until the exec
    }
    *why = version < 0
               ? pim_text("%s %s", candidate, lack)
               : pim_text("%s (mimalloc %d) %s", candidate, version, lack);
    dlclose(handle);
    return NULL;
}

const char *
pim_place_mimalloc(const char *library)
{
    const char *why = MIMALLOC " was not found";
    const char *named = secure_getenv("PIMALLOC_MIMALLOC");
    const char *found = NULL;
    if (named != NULL && *named != '\0') {
        char *path = realpath(named, NULL);
        found = path != NULL ? take(path, 0, &why) : NULL;
        if (found == NULL) {
            pim_fail("--with-malloc: PIMALLOC_MIMALLOC=%s is not the path of a "
                     "libmimalloc 3.6 or newer; correct it or unset it",
                     named);
        }
        return found;
    }
    const char *beside = pim_text("%.*spimalloc/" MIMALLOC,
                                  (int)pim_path_folder(library), library);
    const char *candidates[] = {MIMALLOC, beside, MIMALLOC};
    for (int i = 0; i < 3 && found == NULL; i++) {
        found = take(candidates[i], i == 0 ? RTLD_NOLOAD : 0, &why);
    }
    if (found == NULL) {
        pim_fail("--with-malloc needs libmimalloc 3.6 or newer: %s (looked at "
                 "%s and where the loader looks); install it (Debian: "
                 "libmimalloc3) or name it in PIMALLOC_MIMALLOC",
                 why, beside);
    }
    return found;
}
