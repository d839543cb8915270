// env.h -- what env(1) would do with its arguments.

#ifndef PIM_RUN_ENV_H
#define PIM_RUN_ENV_H

#include <stdbool.h>

// argv: env and its arguments, then NULL.  *command becomes the command that
// env would execute, with its arguments, or NULL if there is none.  apply:
// change our own environment and directory as env would change them.  *clears
// is set if env would take LD_PRELOAD away.  False if the effect of env is not
// known: it has an option that we do not know, or quotes or escapes in the
// string of -S.
bool pim_env_command(char **argv, bool apply, bool *clears, char ***command);

#endif // PIM_RUN_ENV_H
