// main.c -- pimalloc-run: prepare the environment and become COMMAND.
//
//     options --> where are our parts --> what is COMMAND --> environment --> exec
//
// The process stays the same one, so exit status, signals, terminal and
// everything else are COMMAND's own.  Of pimalloc, a few sources of platform are
// linked in.
//
// A privileged process prepares nothing: its starter may have linked our file to
// where it wants us to load from, and COMMAND's loader would ignore LD_PRELOAD.

#define _GNU_SOURCE

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/privilege.h"
#include "run/check_command.h"
#include "run/command_line.h"
#include "run/environment.h"
#include "run/image.h"
#include "run/place.h"
#include "run/target.h"
#include "run/text.h"

// The loader splits at both; our own entry is set off with the first.
#define PRELOAD_SEPARATORS ": "

// err(3) writes "pimalloc-run: MESSAGE", each line in one piece because COMMAND's
// siblings may share this stderr.
static void
set_up_messages(void)
{
    static char name[] = "pimalloc-run"; // whatever argv[0] is
    static char line[2 * PATH_MAX];
    program_invocation_short_name = name;
    setvbuf(stderr, line, _IOLBF, sizeof(line));
}

static void
set_variables(const pim_run_options *o)
{
    unsetenv("PIMALLOC_RUN_CHECK"); // or COMMAND would not run
    pim_run_options_export(o);
    if (o->given[PIM_OPT_WITH_MODULE] != NULL) {
        pim_environment_append("PYTHONPATH", pim_place_module(), ":");
    }
}

// mimalloc, if it is not NULL, behind the library, so that it is initialised before.
static void
set_preload(const char *library, const char *mimalloc)
{
    if (strchr(library, '$') != NULL) {
        errx(PIM_RUN_FAILED,
             "%s cannot be put on LD_PRELOAD, where the loader expands $ORIGIN "
             "and its like; install pimalloc in a path without a dollar sign",
             library);
    }
    pim_environment_append("LD_PRELOAD", library, PRELOAD_SEPARATORS);
    if (mimalloc != NULL) {
        pim_environment_append("LD_PRELOAD", mimalloc, PRELOAD_SEPARATORS);
    }
}

// COMMAND runs all the same.  It is said where limits or leaks were asked for, and
// --leaks=fail must not take silence for an answer.
static void
tell_not_served(const pim_run_options *o, const pim_target *target)
{
    const char *leaks = o->given[PIM_OPT_LEAKS];
    bool missed =
        !target->hands_on && (o->given[PIM_OPT_LIMIT] != NULL || leaks != NULL);
    if (missed && leaks != NULL && strncmp(leaks, "fail", 4) == 0) {
        errx(PIM_RUN_FAILED,
             "--leaks=fail could tell nothing of %s, which is not served: %s",
             target->file, target->why);
    }
    if (missed || o->given[PIM_OPT_VERBOSE] != NULL) {
        warnx("%s is not served%s: %s", target->file,
              missed ? ", and --limit and --leaks do nothing" : "",
              target->why);
    }
}

// execvp() failed with `error`: which file is at fault?
static _Noreturn void
report_failure(const char *command, int error)
{
    char file[PATH_MAX];
    bool found = pim_target_find(command, file);
    if (!found && error == ENOENT) {
        errx(PIM_RUN_NOT_FOUND, "%s: not found%s%s", command,
             strchr(command, '/') != NULL ? "" : " in PATH",
             strchr(command, '=') != NULL ? "; to set a variable, write it in "
                                            "front of pimalloc-run"
                                          : "");
    }
    if (!found) {
        errx(PIM_RUN_NOT_STARTED, "%s: %s", command, strerror(error));
    }
    pim_image image;
    pim_image_read(file, &image);
    if (error == ENOENT && image.kind == PIM_IMAGE_SCRIPT) {
        const char *interpreter =
            pim_text("%.*s", (int)strcspn(image.script, " \t"), image.script);
        errx(PIM_RUN_NOT_STARTED,
             "%s: its first line names an interpreter that %s: #!%s", file,
             access(interpreter, F_OK) == 0
                 ? "lacks its own interpreter or loader"
                 : "does not exist",
             image.script);
    }
    if (error == ENOENT && image.kind == PIM_IMAGE_ELF) {
        errx(PIM_RUN_NOT_STARTED,
             "%s: its loader%s%s does not exist on this system", file,
             image.loader[0] != '\0' ? " " : "", image.loader);
    }
    errx(PIM_RUN_NOT_STARTED, "%s: cannot be executed: %s", file,
         strerror(error));
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
    report_failure(o.command[0], errno);
}
