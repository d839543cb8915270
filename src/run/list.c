// list.c -- lists of paths in the environment.

#define _GNU_SOURCE

#include "run/list.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "run/status.h"

static bool
same_file(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return strcmp(a, b) == 0 ||
           (stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
            of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino);
}

static bool
contains(const char *list, const char *path, const char *separators)
{
    while (*list != '\0') {
        size_t length = strcspn(list, separators);
        char entry[PATH_MAX];
        snprintf(entry, sizeof(entry), "%.*s", (int)length, list);
        // Without a slash the loader looks elsewhere than stat() would.
        if (length < sizeof(entry) && strchr(entry, '/') != NULL &&
            same_file(entry, path)) {
            return true;
        }
        list += length + (list[length] != '\0');
    }
    return false;
}

void
pim_list_append(const char *name, const char *path, const char *separators)
{
    if (strpbrk(path, separators) != NULL) {
        errx(PIM_RUN_FAILED,
             "%s cannot be put on %s, where %s separates entries; "
             "install pimalloc in a path without",
             path, name,
             separators[1] != '\0' ? "a colon or a space" : "a colon");
    }
    const char *old = secure_getenv(name);
    if (old == NULL || *old == '\0') {
        old = NULL;
    } else if (contains(old, path, separators)) {
        return;
    }
    char *list = NULL;
    int n = old == NULL ? asprintf(&list, "%s", path)
                        : asprintf(&list, "%s%c%s", old, separators[0], path);
    if (n < 0 || setenv(name, list, 1) != 0) {
        err(PIM_RUN_FAILED, "%s", name);
    }
    free(list);
}
