// main.c -- pimalloc-run: prepare the environment and become COMMAND.
//
//     options --> where are our parts --> what is COMMAND --> environment --> exec
//
// The process stays the same one, so exit status, signals, terminal and
// everything else are COMMAND's own.  Of pimalloc, a few sources of platform
// are linked in.
//
// A privileged process prepares nothing: its starter may have linked our file
// to where it wants us to load from, and COMMAND's loader would ignore
// LD_PRELOAD.

#define _GNU_SOURCE

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/path.h"
#include "platform/privilege.h"
#include "run/check_command.h"
#include "run/command_line.h"
#include "run/place.h"
#include "run/target.h"

// err(3) writes "pimalloc-run: MESSAGE", each line in one piece because
// COMMAND's siblings may share this stderr.
static void
set_up_messages(void)
{
    static char name[] = "pimalloc-run"; // whatever argv[0] is
    static char line[2 * PATH_MAX];
    program_invocation_short_name = name;
    setvbuf(stderr, line, _IOLBF, sizeof(line));
}

// --- the environment ---------------------------------------------------------

static bool
contains(const char *list, const char *path, const char *separators)
{
    char *rest = pim_text("%s", list);
    for (char *entry = strsep(&rest, separators); entry != NULL;
         entry = strsep(&rest, separators)) {
        // Without a slash the loader looks elsewhere than stat() would.
        if (strchr(entry, '/') != NULL && pim_path_is_same(entry, path)) {
            return true;
        }
    }
    return false;
}

// Appends `path` to the list in the variable `name`, unless the list names that
// file already.  What the list holds stays as it is.  separators: the
// characters between entries, of which the first is written.
static void
append(const char *name, const char *path, const char *separators)
{
    if (strpbrk(path, separators) != NULL) {
        pim_fail("%s cannot be put on %s, where %s separates entries; install "
                 "pimalloc in a path without",
                 path, name,
                 separators[1] != '\0' ? "a colon or a space" : "a colon");
    }
    const char *old = secure_getenv(name);
    bool is_empty = old == NULL || *old == '\0';
    if (is_empty || !contains(old, path, separators)) {
        const char *list =
            is_empty ? path : pim_text("%s%c%s", old, separators[0], path);
        if (setenv(name, list, 1) != 0) {
            err(PIM_RUN_FAILED, "%s", name);
        }
    }
}

static void
set_variables(const pim_run_options *o)
{
    unsetenv("PIMALLOC_RUN_CHECK"); // or COMMAND would not run
    pim_run_options_export(o);
    if (o->given[PIM_OPT_WITH_MODULE] != NULL) {
        append("PYTHONPATH", pim_place_module(), ":");
    }
}

// The loader splits at blanks, too; our own entries are set off with colons.
// mimalloc, if it is not NULL, comes behind the library, to be initialised
// before.
static void
set_preload(const char *library, const char *mimalloc)
{
    if (strchr(library, '$') != NULL) {
        pim_fail("%s cannot be put on LD_PRELOAD, where the loader expands "
                 "$ORIGIN and its like; install pimalloc in a path without a "
                 "dollar sign",
                 library);
    }
    append("LD_PRELOAD", library, ": ");
    if (mimalloc != NULL) {
        append("LD_PRELOAD", mimalloc, ": ");
    }
}

// COMMAND runs all the same.  It is said where limits or leaks were asked for,
// and --leaks=fail must not take silence for an answer.
static void
tell_not_served(const pim_run_options *o, const pim_target *target)
{
    const char *leaks = o->given[PIM_OPT_LEAKS];
    bool missed =
        !target->hands_on && (o->given[PIM_OPT_LIMIT] != NULL || leaks != NULL);
    if (missed && leaks != NULL && strncmp(leaks, "fail", 4) == 0) {
        pim_fail("--leaks=fail could tell nothing of %s, which is not served: "
                 "%s",
                 target->file, target->why);
    }
    if (missed || o->given[PIM_OPT_VERBOSE] != NULL) {
        warnx("%s is not served%s: %s", target->file,
              missed ? ", and --limit and --leaks do nothing" : "",
              target->why);
    }
}

int
main(int argc, char **argv)
{
    (void)argc;
    set_up_messages();
    pim_run_options o;
    pim_run_options_read(argv, &o);

    bool prepares = !pim_is_privileged();
    const char *library = prepares ? pim_place_library() : NULL;
    const char *mimalloc = prepares && o.given[PIM_OPT_WITH_MALLOC] != NULL
                               ? pim_place_mimalloc(library)
                               : NULL;
    if (o.given[PIM_OPT_CHECK] != NULL) {
        if (prepares) {
            set_variables(&o);
            set_preload(library, mimalloc);
        }
        return pim_check_command(&o, library);
    }

    pim_target target;
    pim_target_follow(&o, &target);
    bool not_served = target.status == PIM_RUN_NOT_SERVED;
    if (not_served) {
        tell_not_served(&o, &target);
    }
    // Where the library is not, nothing would keep it from child processes.
    if (prepares && !(not_served && o.given[PIM_OPT_NO_CHILDREN] != NULL)) {
        set_variables(&o);
        if (!target.is_foreign) {
            set_preload(library, mimalloc);
        }
    }
    execvp(o.command[0], o.command);
    int error = errno;
    if (error == ENOENT && target.status >= PIM_RUN_NOT_STARTED) {
        errx(target.status, "%s", target.why);
    }
    errx(PIM_RUN_NOT_STARTED, "%s: cannot be executed: %s", target.file,
         strerror(error));
}
