// check.h -- pimalloc-run --check.

#ifndef PIM_RUN_CHECK_H
#define PIM_RUN_CHECK_H

#include <stdbool.h>

// Says on stdout whether the Python of `command` would be served, and why not.
// library: the preload library, which LD_PRELOAD must name already.  no_children: the
// programs that it starts are to be left alone.  Returns a
// pim_run_status.
int pim_run_check(char **command, const char *library, bool no_children);

#endif // PIM_RUN_CHECK_H
