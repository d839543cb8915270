// start.c -- the start of the process: is there a Python already, and what are
// we to say of it?
//
// The constructor that runs in every program that inherits LD_PRELOAD, with
// Python or without.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "cpython/symbols.h"
#include "mi/mi.h"
#include "pimalloc/pimalloc.h"
#include "platform/privilege.h"
#include "platform/say.h"
#include "preload/preload.h"

// argv of a program that is python itself, whose words mean what choice.c
// reads.
static char **
argv_of_python(char **argv)
{
    return pim_py_is_program() ? argv : NULL;
}

// pimalloc-run --check: tells the outcome, and the program itself never runs.
static void
check(bool has_python, char **argv)
{
    const char *other = pim_preload_other_choice(argv_of_python(argv));
    int status = 1;
    if (!has_python) {
        printf(pim_preload_keeps_out()
                   ? "no CPython in this program at its start; one that it "
                     "loads later is served, its child processes are not\n"
                   : "no CPython in this program at its start; one that it "
                     "loads later, and its child processes, are served\n");
        status = 2;
    } else if (pim_preload_outcome != 0) {
        printf("not served: %s\n", pim_preload_without_name(
                                       pimalloc_strerror(pim_preload_outcome)));
    } else if (other != NULL) {
        printf("not served: %s\n", other);
    } else {
        const char *version = pim_py.get_version(); // and more behind it
        printf(
            "CPython %.*s is served by pimalloc %d.%d.%d (mimalloc %d.%d.%d)\n",
            (int)strcspn(version, " "), version, PIMALLOC_VERSION_MAJOR,
            PIMALLOC_VERSION_MINOR, PIMALLOC_VERSION_PATCH,
            PIM_VERSION_PARTS(pim_mi_version()));
        status = 0;
    }
    fflush(stdout);
    _exit(status);
}

// Whether something may be written to stderr later.  Programs without Python
// and without our options are spared the system call.
static bool
may_speak(bool has_python)
{
    return has_python || secure_getenv("PIMALLOC_STATS") != NULL ||
           secure_getenv("PIMALLOC_STATS_SIGNAL") != NULL ||
           secure_getenv("PIMALLOC_LEAKS") != NULL ||
           secure_getenv("PIMALLOC_LIMIT") != NULL ||
           secure_getenv("PIMALLOC_FAULTS") != NULL ||
           secure_getenv("PIMALLOC_RECORD") != NULL ||
           secure_getenv("PIMALLOC_PROFILE") != NULL ||
           secure_getenv("PIMALLOC_VERBOSE") != NULL;
}

// Not by pim_options_read(), which would complain of a bad option in programs
// that have no Python.
static bool
asked_to_check(void)
{
    const char *value = secure_getenv("PIMALLOC_RUN_CHECK");
    return value != NULL && strcmp(value, "1") == 0;
}

__attribute__((constructor)) static void
process_starts(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)envp;
    if (pim_is_privileged()) {
        return;
    }
    if (pim_preload_is_foreign()) {
        pim_preload_leave_environment();
        return;
    }
    // In every Python, so that one that is too old is called by its name.
    const void *python = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    pim_preload_find_setlocale();
    pim_preload_find_finder();
    dlerror(); // not finding Python is nothing to tell the program
    if (may_speak(python != NULL)) {
        pim_say_look_at_stderr();
    }
    bool asked = asked_to_check();
    if (python != NULL) {
        char **words = argv_of_python(argv);
        pim_preload_try_first(
            python, words != NULL ? pim_preload_other_choice(words) : NULL);
    } else if (pim_preload_is_child()) { // which marks the others
        pim_preload_leave_environment();
    }
    if (asked) {
        check(python != NULL, argv);
    }
}
