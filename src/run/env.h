// env.h -- what env(1) would do with its arguments.

#ifndef PIM_RUN_ENV_H
#define PIM_RUN_ENV_H

#include <stdbool.h>

// argv: env and its arguments, then NULL.  Returns the command that env would
// execute with its arguments, or NULL if that cannot be told.  for_check: apply
// env's assignments and removals to our own environment.  *clears is set if env
// would take LD_PRELOAD away.  Splits the string of -S as env does, but knows no
// quotes and no escapes in it.
char **pim_env_command(char **argv, bool for_check, bool *clears);

#endif // PIM_RUN_ENV_H
