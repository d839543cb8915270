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
    while (rest != NULL) {
        const char *entry = strsep(&rest, separators);
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
    if (old == NULL || *old == '\0') {
        pim_set_variable(name, path);
    } else if (!contains(old, path, separators)) {
        pim_set_variable(name, pim_text("%s%c%s", old, separators[0], path));
    }
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
    if (preloads && strchr(library, '$') != NULL) {
        pim_fail("%s cannot be put on LD_PRELOAD, where the loader expands "
                 "$ORIGIN and its like; install pimalloc in a path without a "
                 "dollar sign",
                 library);
    }
    if (preloads) {
        append("LD_PRELOAD", library, ": ");
    }
    if (preloads && mimalloc != NULL) {
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

// By its file name: LD_PRELOAD may have named it already, by another path.
static bool
loader_takes(char **argv, const char *library)
{
    pim_answer objects;
    pim_set_variable("LD_TRACE_LOADED_OBJECTS", "1");
    pim_ask(argv, SECONDS_MAX, &objects);
    unsetenv("LD_TRACE_LOADED_OBJECTS");
    return objects.status == 0 &&
           strstr(objects.text, library + pim_path_folder(library) - 1) != NULL;
}

// Whether the constructor answered, not COMMAND.
static bool
is_answer(const pim_answer *answer)
{
    static const char *const begins[] = {
        [PIM_RUN_SERVED] = "CPython ",
        [PIM_RUN_NOT_SERVED] = "not served: ",
        [PIM_RUN_NO_PYTHON] = "no CPython",
    };
    size_t status = (size_t)answer->status; // -1 is none of them
    return status < PIM_ARRAY_LEN(begins) &&
           strncmp(answer->text, begins[status], strlen(begins[status])) == 0;
}

static void
ask_library(const pim_target *target, const char *library, pim_answer *answer)
{
    bool takes = loader_takes(target->argv, library);
    if (takes) {
        pim_set_variable("PIMALLOC_RUN_CHECK", "1");
        pim_ask(target->argv, SECONDS_MAX, answer);
    }
    if (!takes || !is_answer(answer)) {
        pim_fail("%s: it could not be found out whether %s would be served: "
                 "%s; run it with --verbose --stats",
                 target->name, target->file,
                 takes ? "the library in it gave no answer"
                       : "its loader passes the library over");
    }
}

// Says on stdout whether the Python of COMMAND would be served, and why not.
static _Noreturn void
check(const pim_run_options *o, const char *library)
{
    pim_target target;
    pim_answer answer;
    pim_target_follow(o, &target);
    if (target.status == PIM_RUN_SERVED) {
        ask_library(&target, library, &answer);
    } else if (target.status != PIM_RUN_NOT_SERVED) {
        errx(target.status, "%s", target.why);
    } else {
        answer.status = PIM_RUN_NOT_SERVED;
        snprintf(answer.text, sizeof(answer.text), "not served: %s",
                 target.why);
    }
    // COMMAND, and what it comes down to if that is something else.
    printf(target.argv == o->command ? "%s: " : "%s (%s): ", target.name,
           target.file);
    if (answer.status != PIM_RUN_NO_PYTHON || !target.is_script) {
        printf("%.*s\n", (int)strcspn(answer.text, "\n"), answer.text);
    } else {
        printf("no CPython in the interpreter of this script at its start; "
               "%s\n",
               o->given[PIM_OPT_NO_CHILDREN] != NULL
                   ? "one that it executes in its place is served, the "
                     "programs that it starts are not"
                   : "the programs that the script starts are served");
    }
    pim_exit(answer.status);
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
            prepare(&o, true, library, mimalloc);
        }
        check(&o, library);
    }

    pim_target target;
    pim_target_follow(&o, &target);
    bool not_served = target.status == PIM_RUN_NOT_SERVED;
    if (not_served) {
        tell_not_served(&o, &target);
    }
    // Where the library is not, nothing would keep it from child processes.
    if (prepares && !(not_served && o.given[PIM_OPT_NO_CHILDREN] != NULL)) {
        prepare(&o, !target.is_foreign, library, mimalloc);
    }
    execvp(o.command[0], o.command);
    if (errno == ENOENT && target.status >= PIM_RUN_NOT_STARTED) {
        errx(target.status, "%s", target.why);
    }
    err(PIM_RUN_NOT_STARTED, "%s: cannot be executed", target.file);
}
