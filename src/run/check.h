// check.h -- pimalloc-run --check.

#ifndef PIM_RUN_CHECK_H
#define PIM_RUN_CHECK_H

#include <stdbool.h>

enum pim_check_status {
    PIM_CHECK_SERVED = 0,
    PIM_CHECK_NOT_SERVED = 1,
    PIM_CHECK_NO_PYTHON = 2,
};

// Says on stdout whether the Python of `command` would be served, and why not.
// library: the preload library, which LD_PRELOAD must name already.  no_children: the
// programs that it starts are to be left alone.  Returns a pim_check_status, or a
// pim_run_status if it could not be found out.
int pim_run_check(char **command, const char *library, bool no_children);

#endif // PIM_RUN_CHECK_H
