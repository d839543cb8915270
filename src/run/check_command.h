// check_command.h -- pimalloc-run --check.

#ifndef PIM_RUN_CHECK_COMMAND_H
#define PIM_RUN_CHECK_COMMAND_H

#include "run/command_line.h"
#include "run/common.h"

// Says on stdout whether the Python of COMMAND would be served, and why not.
// library: the preload library, which LD_PRELOAD names already.  Exits with a
// message if it cannot be found out.
enum pim_run_status pim_check_command(const pim_run_options *o,
                                      const char *library);

#endif // PIM_RUN_CHECK_COMMAND_H
