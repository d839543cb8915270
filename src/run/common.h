// common.h -- exit statuses, messages and texts of the launcher.

#ifndef PIM_RUN_COMMON_H
#define PIM_RUN_COMMON_H

#include "base/compiler.h"

// env(1), nohup(1) and timeout(1) use the same values from 125 on, so a script
// can tell them from most statuses of COMMAND.
enum pim_run_status {
    PIM_RUN_SERVED = 0,        // --check: the Python in COMMAND is served
    PIM_RUN_NOT_SERVED = 1,    // --check: it is not
    PIM_RUN_NO_PYTHON = 2,     // --check: COMMAND has none at its start
    PIM_RUN_FAILED = 125,      // usage error, or a part of pimalloc is missing
    PIM_RUN_NOT_STARTED = 126, // COMMAND was found and cannot be executed
    PIM_RUN_NOT_FOUND = 127,   // COMMAND was not found
};

// errx(3) with PIM_RUN_FAILED.
_Noreturn void pim_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

// Nobody frees what these return: it lasts until COMMAND takes our place.

// As asprintf(3).
char *pim_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

int pim_count(char *const *argv);

// An argv of `count` words and then those of `rest`.
char **pim_words(const char *const *words, size_t count, char *const *rest);

#endif // PIM_RUN_COMMON_H
