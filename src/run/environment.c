// environment.c -- variables, and lists of paths in them (LD_PRELOAD, PYTHONPATH).

#define _GNU_SOURCE

#include "run/environment.h"

#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "run/status.h"
#include "run/text.h"

void
pim_environment_set(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0) {
        err(PIM_RUN_FAILED, "%s", name);
    }
}

static bool
is_same_file(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
           of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

static bool
contains(const char *list, const char *path, const char *separators)
{
    char *rest = pim_text("%s", list);
    for (char *entry = strsep(&rest, separators); entry != NULL;
         entry = strsep(&rest, separators)) {
        // Without a slash the loader looks elsewhere than stat() would.
        if (strchr(entry, '/') != NULL && is_same_file(entry, path)) {
            return true;
        }
    }
    return false;
}

void
pim_environment_append(const char *name, const char *path,
                       const char *separators)
{
    if (strpbrk(path, separators) != NULL) {
        errx(PIM_RUN_FAILED,
             "%s cannot be put on %s, where %s separates entries; install "
             "pimalloc in a path without",
             path, name,
             separators[1] != '\0' ? "a colon or a space" : "a colon");
    }
    const char *old = secure_getenv(name);
    if (old == NULL || *old == '\0') {
        pim_environment_set(name, path);
    } else if (!contains(old, path, separators)) {
        pim_environment_set(name, pim_text("%s%c%s", old, separators[0], path));
    }
}
