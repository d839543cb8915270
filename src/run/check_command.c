// check_command.c -- would it be served?
//
// First the file is judged, without running anything.  If nothing is against
// it, the preload library itself answers: in a process of COMMAND, from its
// constructor, which ends the process before COMMAND's own code begins.
//
// COMMAND must not run.  So a file that cannot be read, or of a format not
// known here, is not tried at all; and since a loader may pass the library
// over, it answers first, in the way of ldd(1), what it would load.

#define _GNU_SOURCE

#include "run/check_command.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

#include "platform/path.h"
#include "run/ask.h"
#include "run/target.h"

#define SECONDS_MAX 10

// By its file name: LD_PRELOAD may have named it already, by another path.
static bool
loader_takes(char **argv, const char *library)
{
    pim_answer objects;
    pim_ask(argv, "LD_TRACE_LOADED_OBJECTS=1", SECONDS_MAX, &objects);
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
    if (answer->status < 0 || answer->status >= (int)PIM_ARRAY_LEN(begins)) {
        return false;
    }
    const char *begin = begins[answer->status];
    return strncmp(answer->text, begin, strlen(begin)) == 0;
}

static void
ask_library(const char *name, const pim_target *target, const char *library,
            pim_answer *answer)
{
    bool takes = loader_takes(target->argv, library);
    if (takes) {
        pim_ask(target->argv, "PIMALLOC_RUN_CHECK=1", SECONDS_MAX, answer);
    }
    if (!takes || !is_answer(answer)) {
        pim_fail("%s: it could not be found out whether %s would be served: "
                 "%s; run it with --verbose --stats",
                 name, target->file,
                 takes ? "the library in it gave no answer"
                       : "its loader passes the library over");
    }
    answer->text[strcspn(answer->text, "\n")] = '\0';
}

enum pim_run_status
pim_check_command(const pim_run_options *o, const char *library)
{
    const char *name = o->command[0];
    pim_target target;
    pim_answer answer;
    pim_target_follow(o, &target);
    answer.status = target.status;
    snprintf(answer.text, sizeof(answer.text), "not served: %s", target.why);
    if (target.status == PIM_RUN_SERVED) {
        ask_library(name, &target, library, &answer);
    } else if (target.status != PIM_RUN_NOT_SERVED) {
        errx(target.status, "%s", target.why);
    }
    // COMMAND, and what it comes down to if that is something else.
    printf(target.argv == o->command ? "%s: " : "%s (%s): ", name, target.file);
    if (answer.status != PIM_RUN_NO_PYTHON || !target.is_script) {
        puts(answer.text);
    } else {
        printf("no CPython in the interpreter of this script at its start; "
               "%s\n",
               o->given[PIM_OPT_NO_CHILDREN] != NULL
                   ? "one that it executes in its place is served, the "
                     "programs that it starts are not"
                   : "the programs that the script starts are served");
    }
    if (fflush(stdout) != 0) {
        err(PIM_RUN_FAILED, "stdout");
    }
    return (enum pim_run_status)answer.status;
}
