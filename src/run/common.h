// common.h -- exit statuses, texts that nobody frees, since they last until
// COMMAND takes our place, and asking other programs.

#ifndef PIM_RUN_COMMON_H
#define PIM_RUN_COMMON_H

#include <err.h>

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

// As errx(3), which writes "pimalloc-run: " in front.
#define pim_fail(...) errx(PIM_RUN_FAILED, __VA_ARGS__)

// exit(3), or a failure if stdout cannot be written to.
_Noreturn void pim_exit(int status);

// As setenv(3) and asprintf(3).
void pim_set_variable(const char *name, const char *value);
char *pim_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

// An argv of those of `count` words that are not NULL, and then of `rest`.
char **pim_words(const char *const *words, size_t count, char *const *rest);

typedef struct pim_answer {
    int status;       // exit status, 126 if not started; -1: it was killed
    char text[65536]; // its stdout
} pim_answer;

// Runs argv[0], found as by execvp(), with stdin from /dev/null and stderr as
// ours.  After `seconds`, or if it writes more, it is killed with its process
// group.
void pim_ask(char *const argv[], unsigned seconds, pim_answer *out);

#endif // PIM_RUN_COMMON_H
