// env.h -- what env(1) would do with its arguments.

#ifndef PIM_RUN_ENV_H
#define PIM_RUN_ENV_H

#include <stdbool.h>

// argv: env and its arguments, then NULL.  *command becomes the command that env
// would execute with its arguments, or NULL if there is none.  for_check: do
// what env would do to the environment and the directory to our own.  *clears is
// set if env would take LD_PRELOAD away.  Splits the string of -S as env does,
// but knows no quotes and no escapes in it.  False if it cannot be told what env
// would do.
bool pim_env_command(char **argv, bool for_check, bool *clears,
                     char ***command);

#endif // PIM_RUN_ENV_H
