// children.c -- PIMALLOC_CHILDREN=0: the programs that are started are left
// alone.
//
// A process hands the library on in LD_PRELOAD, and our options beside it.
// Both are taken out of the environment as soon as Python is in the process, at
// its start or later: so what Python starts has never heard of us.
//
//     env  ------exec------>  python3  ------exec------>  anything
//     0  becomes  0:PID       same PID: serves,           nothing of ours
//                             takes all out
//     sh  --fork, exec-->  python3    other PID: takes all out and does nothing
//
// Not sooner, because what is to be served is often executed in the place of
// another program: env(1) of a script's first line, a shell script in front of
// Python.  Such a program keeps its process id, which is therefore written
// behind the 0.

#define _GNU_SOURCE

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/module.h"
#include "platform/path.h"
#include "platform/privilege.h"
#include "preload/preload.h"

#define NAME "PIMALLOC_CHILDREN"
#define OURS "PIMALLOC_"
#define SEPARATORS ": " // the loader splits at both
#define MIMALLOC "libmimalloc.so"

// They are to be left alone, and the environment is as it was.
static bool keeps_out;
static bool is_child;

// --- LD_PRELOAD ------------------------------------------------------------

// Without a slash the loader looks elsewhere than stat() would.
static bool
is_us(const char *entry, const char *us)
{
    return strchr(entry, '/') == NULL ? strcmp(entry, pim_path_name(us)) == 0
                                      : pim_path_is_same(entry, us);
}

// Ours goes, and a mimalloc right behind it, which pimalloc-run --with-malloc
// put there.  out has room for all of it.
static void
copy_others(const char *list, const char *us, char *out)
{
    bool behind_us = false;
    char *to = out;
    while (*(list += strspn(list, SEPARATORS)) != '\0') {
        char entry[PATH_MAX];
        size_t length = strcspn(list, SEPARATORS);
        snprintf(entry, sizeof(entry), "%.*s", (int)length, list);
        bool is_ours = is_us(entry, us);
        bool is_malloc = behind_us && strncmp(pim_path_name(entry), MIMALLOC,
                                              sizeof(MIMALLOC) - 1) == 0;
        if (!is_ours && !is_malloc) {
            to += to != out ? 1 : 0;
            memcpy(to, list, length);
            to[length] = ':';
            to += length;
        }
        behind_us = is_ours;
        list += length;
    }
    *to = '\0';
}

static void
leave_preload(void)
{
    const char *list = secure_getenv("LD_PRELOAD");
    char us[PATH_MAX];
    if (list == NULL) {
        return;
    }
    pim_module_path(&keeps_out, us);
    char *others = malloc(strlen(list) + 1);
    if (others != NULL) {
        copy_others(list, us, others);
        if (*others != '\0') {
            setenv("LD_PRELOAD", others, 1);
        } else {
            unsetenv("LD_PRELOAD");
        }
        free(others);
    }
}

// --- what is asked for ------------------------------------------------------

// Once, by our constructor at the latest.
static void
look(void)
{
    static bool looked;
    const char *value = looked ? NULL : secure_getenv(NAME);
    looked = true;
    if (value == NULL || value[0] != '0' ||
        (value[1] != '\0' && value[1] != ':')) {
        return;
    }
    char mark[32];
    keeps_out = true;
    snprintf(mark, sizeof(mark), "0:%ld", (long)getpid());
    is_child = value[1] == ':' && strcmp(value, mark) != 0;
    if (!is_child) {
        setenv(NAME, mark, 1);
    }
}

bool
pim_preload_keeps_out(void)
{
    look();
    return keeps_out;
}

bool
pim_preload_is_child(void)
{
    look();
    return is_child;
}

void
pim_preload_leave_environment(void)
{
    if (pim_preload_keeps_out()) {
        keeps_out = false;
        leave_preload();
        pim_privilege_forget(OURS);
    }
}
