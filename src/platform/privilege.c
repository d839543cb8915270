// privilege.c -- see privilege.h.

#define _GNU_SOURCE

#include "platform/privilege.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

bool
pim_is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

// False: it is still there, for want of memory.
static bool
forget(const char *entry)
{
    char *name = strndup(entry, strcspn(entry, "="));
    bool gone = name != NULL && unsetenv(name) == 0;
    free(name);
    return gone;
}

void
pim_privilege_forget(const char *prefix)
{
    char **entry = environ;
    while (entry != NULL && *entry != NULL) {
        // One that goes leaves its place to the next.
        if (strncasecmp(*entry, prefix, strlen(prefix)) != 0 ||
            strchr(*entry, '=') == NULL || !forget(*entry)) {
            entry++;
        }
    }
}

static bool
is_roots_alone(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && s.st_uid == 0 &&
           (s.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool
pim_privilege_trusts(char path[PATH_MAX])
{
    char real[PATH_MAX];
    if (path[0] != '/' || realpath(path, real) == NULL) {
        return false;
    }
    memcpy(path, real, sizeof(real));
    bool trusted = is_roots_alone("/");
    for (char *end = real + 1; trusted && *end != '\0'; end++) {
        if (*end == '/') {
            *end = '\0';
            trusted = is_roots_alone(real);
            *end = '/';
        }
    }
    return trusted && is_roots_alone(real);
}
