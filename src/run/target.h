// target.h -- which program COMMAND becomes, and whether it can be preloaded.
//
// COMMAND may be a script, whose interpreter is the program; that may be
// env(1), which looks for another.  Following them tells, without running any,
// whether the loader will honour LD_PRELOAD in the end.

#ifndef PIM_RUN_TARGET_H
#define PIM_RUN_TARGET_H

#include "run/command_line.h"
#include "run/common.h"

typedef struct pim_target {
    const char *name;   // COMMAND, as it was given
    bool for_check;     // --check: it is not run as it stands
    bool with_children; // not --no-children

    enum pim_run_status status; // PIM_RUN_SERVED: nothing is against it
    const char *why;            // it is another status, and a remedy
    const char *file;           // of the program; COMMAND if it was not found
    char **argv; // what executing COMMAND comes down to; argv[0] as looked up
    bool is_script;  // a script led there
    bool is_foreign; // its loader cannot load our library, and would complain
    bool is_cleared; // env takes LD_PRELOAD away on the way
    bool hands_on;   // it is not served, and its child processes are
} pim_target;

// With --check its Python gets what is in between: env's assignments become our
// environment, and the program that pyenv names replaces its shim.
void pim_target_follow(const pim_run_options *o, pim_target *out);

#endif // PIM_RUN_TARGET_H
