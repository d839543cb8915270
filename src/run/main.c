// main.c -- pimalloc-run: prepare the environment and become COMMAND.
//
//     options --> where are our parts --> what is COMMAND --> environment --> exec
//
// The process stays the same one, so exit status, signals, terminal and
// everything else are COMMAND's own.  Of pimalloc, a few sources of platform are
// linked in.
//
// In a privileged process nothing is prepared: what lies beside us would be taken
// from where somebody else may have linked our file to, and COMMAND's loader would
// ignore LD_PRELOAD.

#define _GNU_SOURCE

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/privilege.h"
#include "run/check.h"
#include "run/image.h"
#include "run/list.h"
#include "run/status.h"
#include "run/options.h"
#include "run/place.h"
#include "run/target.h"

// The loader splits at both; our own entry is set off with the first.
#define PRELOAD_SEPARATORS ": "

static void
set(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0) {
        err(PIM_RUN_FAILED, "%s", name);
    }
}

static void
set_options(const pim_run_options *o)
{
    unsetenv("PIMALLOC_RUN_CHECK"); // or COMMAND would not run
    if (o->stats[0] != '\0') {
        set("PIMALLOC_STATS", o->stats);
    }
    if (o->leaks[0] != '\0') {
        set("PIMALLOC_LEAKS", o->leaks);
    }
    if (o->signal != 0) {
        char number[16];
        snprintf(number, sizeof(number), "%d", o->signal);
        set("PIMALLOC_STATS_SIGNAL", number);
    }
    if (o->limit != NULL) {
        set("PIMALLOC_LIMIT", o->limit);
    }
    if (o->limit_tree != NULL) {
        set("PIMALLOC_LIMIT_TREE", o->limit_tree);
    }
    // What a parent process made of it says nothing about COMMAND.
    const char *children = secure_getenv("PIMALLOC_CHILDREN");
    if (o->no_children || (children != NULL && children[0] == '0')) {
        set("PIMALLOC_CHILDREN", "0");
    }
    if (o->debug) {
        set("PIMALLOC_DEBUG", "1");
    }
    if (o->verbose) {
        set("PIMALLOC_VERBOSE", "1");
    }
    if (o->with_module) {
        char folder[PATH_MAX];
        pim_place_module(folder, sizeof(folder));
        pim_list_append("PYTHONPATH", folder, ":");
    }
}

// mimalloc behind the library, so that it is initialised before it.
static void
set_preload(const char *library, const char *mimalloc)
{
    if (strchr(library, '$') != NULL) {
        errx(PIM_RUN_FAILED,
             "%s cannot be put on LD_PRELOAD, where the loader expands "
             "$ORIGIN and its like; install pimalloc in a path without "
             "a dollar sign",
             library);
    }
    pim_list_append("LD_PRELOAD", library, PRELOAD_SEPARATORS);
    if (mimalloc[0] != '\0') {
        pim_list_append("LD_PRELOAD", mimalloc, PRELOAD_SEPARATORS);
    }
}

// line: what follows #!.
static bool
interpreter_exists(const char *line)
{
    char path[sizeof(((pim_image *)NULL)->script)];
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(line, " \t"), line);
    return access(path, F_OK) == 0;
}

// execvp() failed with `error`: which file is at fault?
static _Noreturn void
report_failure(const char *command, int error)
{
    char file[PATH_MAX];
    if (!pim_target_find(command, file)) {
        if (error == ENOENT) {
            errx(PIM_RUN_NOT_FOUND, "%s: not found%s%s", command,
                 strchr(command, '/') != NULL ? "" : " in PATH",
                 strchr(command, '=') != NULL
                     ? "; to set a variable, write it in front of "
                       "pimalloc-run"
                     : "");
        }
        errx(PIM_RUN_NOT_STARTED, "%s: %s", command, strerror(error));
    }
    pim_image image;
    pim_image_read(file, &image);
    if (error == ENOENT && image.kind == PIM_IMAGE_SCRIPT) {
        bool exists = interpreter_exists(image.script);
        errx(PIM_RUN_NOT_STARTED,
             "%s: its first line names an interpreter that %s: #!%s", file,
             exists ? "lacks its own interpreter or loader" : "does not exist",
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

// It runs as always; who asked for limits or leaks is told, and who wants to fail
// for leaks would take silence for an answer.
static void
tell_not_served(const pim_run_options *o, const pim_target *target)
{
    const char *why = pim_target_why(target, o->no_children);
    bool nobody_is = !target->hands_on || o->no_children;
    bool missed = nobody_is && (o->limit != NULL || o->leaks[0] != '\0');
    if (nobody_is && strncmp(o->leaks, "fail", strlen("fail")) == 0) {
        errx(PIM_RUN_FAILED,
             "--leaks=fail could tell nothing of %s, which is not "
             "served: %s",
             target->file, why);
    }
    if (missed || o->verbose) {
        warnx("%s is not served%s: %s", target->file,
              missed ? ", and --limit and --leaks do nothing" : "", why);
    }
}

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

int
main(int argc, char **argv)
{
    (void)argc;
    set_up_messages();
    pim_run_options options;
    pim_run_options_read(argv, &options);

    char library[PATH_MAX] = "";
    char mimalloc[PATH_MAX] = "";
    bool prepares = !pim_is_privileged();
    if (prepares) {
        pim_place_library(library, sizeof(library));
        if (options.with_malloc) {
            pim_place_mimalloc(library, mimalloc, sizeof(mimalloc));
        }
    }
    if (options.check) {
        if (prepares) {
            set_options(&options);
            set_preload(library, mimalloc);
        }
        return pim_run_check(options.command, library, options.no_children);
    }

    pim_target target;
    pim_target_follow(options.command, false, &target);
    bool not_served = target.file[0] != '\0' && target.why[0] != '\0';
    if (not_served) {
        tell_not_served(&options, &target);
    }
    // Where the library does not come to, nothing would keep it from the children.
    if (prepares && !(not_served && options.no_children)) {
        set_options(&options);
        if (!target.is_foreign) {
            set_preload(library, mimalloc);
        }
    }
    execvp(options.command[0], options.command);
    report_failure(options.command[0], errno);
}
