// main.c -- pimalloc-run: prepare the environment and become COMMAND.
//
//     options --> where are our parts --> what is COMMAND --> environment --> exec
//
// The process stays the same one, so exit status, signals, terminal and
// everything else are COMMAND's own.
//
// A privileged process prepares nothing: its starter may have linked our file
// to where it wants us to load from, and COMMAND's loader would ignore
// LD_PRELOAD.

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/path.h"
#include "platform/privilege.h"
#include "run/run.h"

// --- the environment ---------------------------------------------------------

// Appends `path` to the list in the variable `name`, unless that names the file
// already.  separators: of entries; the first one is written.
static void
append(const char *name, const char *path, const char *separators)
{
    if (strpbrk(path, separators) != NULL) {
        pim_fail("%s cannot be put on %s, where %s separates entries; install "
                 "pimalloc in a path without",
                 path, name,
                 separators[1] != '\0' ? "a colon or a space" : "a colon");
    }
    const char *old = secure_getenv(name) != NULL ? secure_getenv(name) : "";
    char *rest = pim_text("%s", old);
    while (rest != NULL) {
        const char *entry = strsep(&rest, separators);
        // Without a slash the loader looks elsewhere than stat() would.
        if (strchr(entry, '/') != NULL && pim_path_is_same(entry, path)) {
            return;
        }
    }
    pim_set_variable(
        name, *old == '\0' ? path : pim_text("%s%c%s", old, *separators, path));
}

// The loader splits LD_PRELOAD at blanks, too; our own entries are set off with
// colons.  mimalloc, if it is not NULL, comes behind the library, to be
// initialised before.
static void
prepare(const pim_run_options *o, bool preloads, const char *library,
        const char *mimalloc)
{
    unsetenv("PIMALLOC_RUN_CHECK"); // or COMMAND would not run
    pim_run_options_export(o);
    if (o->given[PIM_OPT_WITH_MODULE] != NULL) {
        append("PYTHONPATH", pim_place_module(), ":");
    }
    if (!preloads) {
        return;
    }
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

static bool
is_missed(const pim_run_options *o)
{
    static const int missed[] = {PIM_OPT_LIMIT, PIM_OPT_LEAKS, PIM_OPT_FAULTS,
                                 PIM_OPT_PROFILE, PIM_OPT_RECORD};
    bool any = false;
    for (size_t i = 0; i < PIM_ARRAY_LEN(missed); i++) {
        any = any || o->given[missed[i]] != NULL;
    }
    return any;
}

// COMMAND runs all the same.  It is said where something was asked for that is
// missed then, and --leaks=fail must not take silence for an answer.
static void
tell_not_served(const pim_run_options *o, const pim_target *target)
{
    const char *leaks = o->given[PIM_OPT_LEAKS];
    bool missed = !target->hands_on && is_missed(o);
    if (missed && leaks != NULL && strncmp(leaks, "fail", 4) == 0) {
        pim_fail("--leaks=fail could tell nothing of %s, which is not served: "
                 "%s",
                 target->file, target->why);
    }
    if (missed || o->given[PIM_OPT_VERBOSE] != NULL) {
        warnx("%s is not served%s: %s", target->file,
              missed ? ", and what was asked for with it does nothing" : "",
              target->why);
    }
}

// --- --check -----------------------------------------------------------------
//
// First the file is judged, without running anything.  If nothing is against
// it, the preload library itself answers: in a process of COMMAND, from its
// constructor, which ends the process before COMMAND's own code begins.
//
// COMMAND must not run.  So a file that cannot be read, or of a format not
// known here, is not tried at all; and since a loader may pass the library
// over, it answers first, in the way of ldd(1), what it would load.

#define SECONDS_MAX 10

static void
ask_library(const pim_target *target, const char *library, pim_answer *answer)
{
    static const char unknown[] = "%s: it could not be found out whether %s "
                                  "would be served: %s; run it with --verbose "
                                  "--stats";
    static const char *const begins[] = {
        [PIM_RUN_SERVED] = "CPython ",
        [PIM_RUN_NOT_SERVED] = "not served: ",
        [PIM_RUN_NO_PYTHON] = "no CPython",
    };
    pim_set_variable("LD_TRACE_LOADED_OBJECTS", "1");
    pim_ask(target->argv, SECONDS_MAX, answer);
    unsetenv("LD_TRACE_LOADED_OBJECTS");
    // By its file name: LD_PRELOAD may have named it already, by another path.
    const char *name = library + pim_path_folder(library) - 1;
    if (answer->status != 0 || strstr(answer->text, name) == NULL) {
        pim_fail(unknown, target->name, target->file,
                 "its loader passes the library over");
    }
    pim_set_variable("PIMALLOC_RUN_CHECK", "1");
    pim_ask(target->argv, SECONDS_MAX, answer);
    size_t status = (size_t)answer->status; // -1: too large
    if (status >= PIM_ARRAY_LEN(begins) ||
        strncmp(answer->text, begins[status], strlen(begins[status])) != 0) {
        pim_fail(unknown, target->name, target->file,
                 "the library in it gave no answer"); // COMMAND did
    }
}

// Says on stdout whether the Python of COMMAND would be served, and why not.
static _Noreturn void
check(const pim_target *target, bool differs, const char *library)
{
    pim_answer answer = {.status = (int)target->status};
    const char *text = pim_text("not served: %s", target->why);
    if (target->status == PIM_RUN_SERVED) {
        ask_library(target, library, &answer);
        text = answer.text;
    } else if (target->status != PIM_RUN_NOT_SERVED) {
        errx(target->status, "%s", target->why);
    }
    if (answer.status == PIM_RUN_NO_PYTHON && target->is_script) {
        text = pim_text("no CPython in the interpreter of this script at its "
                        "start; %s",
                        target->with_children
                            ? "the programs that the script starts are served"
                            : "one that it executes in its place is served, "
                              "the programs that it starts are not");
    }
    // COMMAND, and what it comes down to if that is something else.
    const char *file = differs ? pim_text(" (%s)", target->file) : "";
    printf("%s%s: %.*s\n", target->name, file, (int)strcspn(text, "\n"), text);
    pim_exit(answer.status);
}

int
main(int argc, char **argv)
{
    (void)argc;
    // err(3) writes "pimalloc-run: MESSAGE", each line in one piece because
    // COMMAND's siblings may share this stderr.
    static char name[] = "pimalloc-run"; // whatever argv[0] is
    static char line[2 * PATH_MAX];
    program_invocation_short_name = name;
    setvbuf(stderr, line, _IOLBF, sizeof(line));

    pim_run_options o;
    pim_target target;
    pim_run_options_read(argv, &o);
    bool checks = o.given[PIM_OPT_CHECK] != NULL;
    bool prepares = !pim_is_privileged();
    const char *library = prepares ? pim_place_library() : NULL;
    const char *mimalloc = prepares && o.given[PIM_OPT_WITH_MALLOC] != NULL
                               ? pim_place_mimalloc(library)
                               : NULL;
    if (checks && prepares) {
        prepare(&o, true, library, mimalloc);
    }
    pim_target_follow(&o, &target);
    if (checks) {
        check(&target, o.command != target.argv, library);
    }
    bool not_served = target.status == PIM_RUN_NOT_SERVED;
    if (not_served) {
        tell_not_served(&o, &target);
    }
    // Where the library is not, nothing would keep it from child processes.
    if (prepares && (!not_served || target.with_children)) {
        prepare(&o, !target.is_foreign, library, mimalloc);
    }
    execvp(o.command[0], o.command);
    if (errno == ENOENT && target.status >= PIM_RUN_NOT_STARTED) {
        errx(target.status, "%s", target.why);
    }
    err(PIM_RUN_NOT_STARTED, "%s: cannot be executed", target.file);
}
