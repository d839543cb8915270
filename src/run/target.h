// target.h -- which program COMMAND becomes, and whether it can be preloaded.
//
// COMMAND may be a script, whose interpreter is the program; that may be env(1),
// which looks for another.  Following all this tells, without running anything,
// whether the loader will honour LD_PRELOAD in the end.

#ifndef PIM_RUN_TARGET_H
#define PIM_RUN_TARGET_H

#include <limits.h>
#include <stdbool.h>

typedef struct pim_target {
    char file[PATH_MAX]; // of the program; "" if COMMAND was not found
    bool is_script;      // a script led there
    bool is_shim;        // pyenv was asked and named it
    bool is_known;       // its format is one that we can judge
    bool is_unclear;     // it is env, with options that we do not know
    bool is_foreign; // its loader cannot load our library, and would complain
    char why[512];   // why it will not be served, and a remedy; "" if it may
    bool hands_on;   // then its child processes may be served all the same
    char **argv;     // what executing it comes down to; argv[0] as looked up
} pim_target;

// command: COMMAND and its arguments, then NULL; must outlive *out.
//
// for_check: COMMAND will not be run as it stands, so what stands between it and
// its Python is done here: env's assignments go to our environment, and a pyenv
// shim is replaced by what pyenv answers.
void pim_target_follow(char **command, bool for_check, pim_target *out);

// Why it will not be served, with what that means for its child processes, which
// may be to be left alone.  Valid until the next call.
const char *pim_target_why(const pim_target *target, bool no_children);

// Where execvp() would find `name`.  False if nowhere.
bool pim_target_find(const char *name, char out[PATH_MAX]);

#endif // PIM_RUN_TARGET_H
