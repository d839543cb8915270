// place.c -- looking for files beside the launcher.

#define _GNU_SOURCE

#include "run/place.h"

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "mi/mi.h"
#include "platform/path.h"
#include "platform/room.h"
#include "run/status.h"
#include "run/text.h"

#define LIBRARY "libpimalloc-preload.so"
#define MODULE "pimalloc.abi3.so"
#define MIMALLOC "libmimalloc.so.3"

// Our own file without symbolic links.
static const char *
own_file(void)
{
    char *file = realpath("/proc/self/exe", NULL);
    if (file == NULL) { // no /proc in a chroot
        file = realpath((const char *)getauxval(AT_EXECFN), NULL);
    }
    if (file == NULL) {
        errx(PIM_RUN_FAILED,
             "my own file cannot be found (%s), so the library beside it "
             "cannot either; is /proc mounted?",
             strerror(errno));
    }
    return file;
}

// The folder that `relative` names, seen from the folder of our own file.  Each "../"
// takes a name off, which is right because no name there is a symbolic link.
static const char *
seen_from_us(const char *us, const char *relative)
{
    size_t length = pim_path_folder(us) - 1;
    for (; strncmp(relative, "../", 3) == 0; relative += 3) {
        while (length > 0 && us[--length] != '/') {
        }
    }
    return pim_text("%.*s/%s", (int)length, us, relative);
}

// The folder of `file`: as installed, or else as in the build tree.
static const char *
folder_of(const char *what, const char *file, const char *installed,
          const char *built)
{
    const char *us = own_file();
    const char *first = seen_from_us(us, installed);
    const char *second = seen_from_us(us, built);
    if (access(pim_text("%s/%s", first, file), R_OK) == 0) {
        return first;
    }
    if (access(pim_text("%s/%s", second, file), R_OK) == 0) {
        return second;
    }
    bool same = strcmp(first, second) == 0;
    errx(PIM_RUN_FAILED,
         "%s %s is missing or cannot be read (looked in %s%s%s); install "
         "pimalloc as a whole, or build all of it",
         what, file, first, same ? "" : " and ", same ? "" : second);
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
    return folder_of("the Python module", MODULE, PIM_RUN_TO_PYTHON_DIR,
                     "../lib/python");
}

// --- mimalloc ----------------------------------------------------------------

// Its path if it is a mimalloc and new enough, by the rule of src/mi, because the
// SONAME tells little.  Else NULL, and *why is what is wrong if there is such a file.
static const char *
accept(const char *candidate, int flags, const char **why)
{
    if ((flags & RTLD_NOLOAD) == 0 &&
        !pim_has_room(PIM_MI_START_BYTES, PIM_MI_START_MAPS)) {
        errx(PIM_RUN_FAILED,
             "--with-malloc: no address space for mimalloc, which needs %zu "
             "MiB to start; raise the limit of virtual memory (ulimit -v)",
             PIM_MI_START_BYTES >> 20);
    }
    void *handle = dlopen(candidate, RTLD_LAZY | RTLD_LOCAL | flags);
    if (handle == NULL) {
        return NULL;
    }
    struct link_map *map;
    int (*version)(void) = NULL;
    void *symbol = dlsym(handle, "mi_version");
    memcpy(&version, &symbol, sizeof(symbol));
    if (version == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) {
        *why = pim_text("%s is no mimalloc", candidate);
    } else if (pim_mi_version_lack(version()) != NULL) {
        *why = pim_text("%s %s (mimalloc %d)", candidate,
                        pim_mi_version_lack(version()), version());
    } else {
        return map->l_name; // stays loaded until the exec
    }
    dlclose(handle);
    return NULL;
}

const char *
pim_place_mimalloc(const char *library)
{
    const char *why = MIMALLOC " was not found";
    const char *found = NULL;
    const char *named = secure_getenv("PIMALLOC_MIMALLOC");
    if (named != NULL && *named != '\0') {
        char *path = realpath(named, NULL);
        found = path != NULL ? accept(path, 0, &why) : NULL;
        if (found == NULL) {
            errx(PIM_RUN_FAILED,
                 "--with-malloc: PIMALLOC_MIMALLOC=%s is not the path of a "
                 "libmimalloc 3.6 or newer; correct it or unset it",
                 named);
        }
        return found;
    }
    const char *beside = pim_text("%.*spimalloc/" MIMALLOC,
                                  (int)pim_path_folder(library), library);
    const struct {
        const char *file;
        int flags;
    } candidates[] = {{MIMALLOC, RTLD_NOLOAD}, {beside, 0}, {MIMALLOC, 0}};
    for (size_t i = 0; found == NULL && i < PIM_ARRAY_LEN(candidates); i++) {
        found = accept(candidates[i].file, candidates[i].flags, &why);
    }
    if (found == NULL) {
        errx(PIM_RUN_FAILED,
             "--with-malloc needs libmimalloc 3.6 or newer: %s (looked at %s "
             "and where the loader looks); install it (Debian: libmimalloc3) "
             "or name it in PIMALLOC_MIMALLOC",
             why, beside);
    }
    return found;
}
