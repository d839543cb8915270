// check.c -- would it be served?
//
// First the file is judged, without running anything.  If that leaves hope, the
// preload library itself answers: in a process of COMMAND, from its constructor,
// which ends the process before COMMAND's own code begins.
//
// COMMAND must not run.  So a file that cannot be read, or of a format not known
// here, is not tried at all; and in case the loader passes the library over for
// some reason, it is asked before, in the way of ldd(1), what it would load.

#include "run/check.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "run/status.h"
#include "run/spawn.h"
#include "run/target.h"

#define SECONDS_MAX 10

// What an answer begins with, by exit status.
static const char *const begins[] = {"CPython ", "not served: ", "no CPython"};

// By its file name: LD_PRELOAD may have named it already, by another path.
static bool
loader_takes(char **argv, const char *library)
{
    pim_answer objects;
    pim_spawn_ask(argv, "LD_TRACE_LOADED_OBJECTS=1", SECONDS_MAX, &objects);
    return objects.error == 0 && objects.status == 0 &&
           strstr(objects.text, strrchr(library, '/')) != NULL;
}

// Whether the constructor answered; cuts the text to its line.
static bool
is_answer(pim_answer *answer)
{
    if (answer->error != 0 || answer->status < 0 ||
        answer->status >= (int)PIM_ARRAY_LEN(begins)) {
        return false;
    }
    answer->text[strcspn(answer->text, "\n")] = '\0';
    const char *begin = begins[answer->status];
    return strncmp(answer->text, begin, strlen(begin)) == 0;
}

// COMMAND, and what it comes down to if that is something else.
static void
print_name(char **command, const pim_target *target)
{
    bool same = target->argv == command;
    printf(same ? "%s: " : "%s (%s): ", command[0], target->file);
}

static int
finish(int status)
{
    if (fflush(stdout) != 0) {
        warn("stdout");
        return PIM_RUN_FAILED;
    }
    return status;
}

// COMMAND, or what it leads to, is not there.
static int
report_missing(const char *name, const pim_target *target)
{
    if (target->is_shim) {
        warnx("%s: pyenv knows no program for this shim here; choose a "
              "version that has one with \"pyenv shell\" or "
              "PYENV_VERSION",
              name);
        return PIM_RUN_NOT_FOUND;
    }
    if (target->is_script) {
        warnx("%s: its interpreter %s does not exist", name, target->argv[0]);
        return PIM_RUN_NOT_STARTED;
    }
    warnx("%s: not found%s", name, strchr(name, '/') != NULL ? "" : " in PATH");
    return PIM_RUN_NOT_FOUND;
}

int
pim_run_check(char **command, const char *library, bool no_children)
{
    const char *name = command[0];
    char first[PATH_MAX];
    struct stat status;
    if (pim_target_find(name, first) &&
        (access(first, X_OK) != 0 || stat(first, &status) != 0 ||
         !S_ISREG(status.st_mode))) {
        warnx("%s: cannot be executed; it must be a file that you may "
              "execute",
              first);
        return PIM_RUN_NOT_STARTED;
    }
    pim_target target;
    pim_target_follow(command, true, &target);
    if (target.file[0] == '\0') {
        return report_missing(name, &target);
    }
    if (target.why[0] != '\0') {
        print_name(command, &target);
        printf("not served: %s\n", pim_target_why(&target, no_children));
        return finish(PIM_RUN_NOT_SERVED);
    }
    if (target.is_unclear) {
        warnx("%s: what env does with these options is not known here; "
              "ask about the command that it runs",
              name);
        return PIM_RUN_FAILED;
    }
    pim_answer answer = {.status = -1};
    bool takes = target.is_known && loader_takes(target.argv, library);
    if (takes) {
        pim_spawn_ask(target.argv, "PIMALLOC_RUN_CHECK=1", SECONDS_MAX,
                      &answer);
    }
    if (!is_answer(&answer)) {
        warnx("%s: it could not be found out whether %s would be "
              "served%s; run it with --verbose --stats",
              name, target.file,
              takes             ? ": the library in it gave no answer"
              : target.is_known ? ": its loader passes the library over"
                                : ", whose format is not known here");
        return PIM_RUN_FAILED;
    }
    print_name(command, &target);
    if (answer.status == PIM_RUN_NO_PYTHON && target.is_script) {
        printf(
            "no CPython in the interpreter of this script at its start; %s\n",
            no_children ? "one that it executes in its place is served, the "
                          "programs that it starts are not"
                        : "the programs that the script starts are served");
    } else {
        printf("%s\n", answer.text);
    }
    return finish(answer.status);
}
