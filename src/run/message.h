// message.h -- what the launcher says, and the statuses it exits with.

#ifndef PIM_RUN_MESSAGE_H
#define PIM_RUN_MESSAGE_H

// The launcher's own failures.  env(1), nohup(1) and timeout(1) use the same, so
// a script can tell them from most statuses of COMMAND.
enum pim_run_status {
    PIM_RUN_FAILED = 125,      // usage error, or a part of pimalloc is missing
    PIM_RUN_NOT_STARTED = 126, // COMMAND was found and cannot be executed
    PIM_RUN_NOT_FOUND = 127,   // COMMAND was not found
};

// One line on stderr, "pimalloc-run: ...".
void pim_run_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The same, and exits.
_Noreturn void pim_run_fail(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif // PIM_RUN_MESSAGE_H
