// status.h -- the exit statuses of the launcher itself.

#ifndef PIM_RUN_STATUS_H
#define PIM_RUN_STATUS_H

// env(1), nohup(1) and timeout(1) use the same values from 125 on, so a script can
// tell them from most statuses of COMMAND.
enum pim_run_status {
    PIM_RUN_SERVED = 0,        // --check: the Python in COMMAND is served
    PIM_RUN_NOT_SERVED = 1,    // --check: it is not
    PIM_RUN_NO_PYTHON = 2,     // --check: COMMAND has none at its start
    PIM_RUN_FAILED = 125,      // usage error, or a part of pimalloc is missing
    PIM_RUN_NOT_STARTED = 126, // COMMAND was found and cannot be executed
    PIM_RUN_NOT_FOUND = 127,   // COMMAND was not found
};

#endif // PIM_RUN_STATUS_H
