// spawn.h -- asking another program, without waiting for it for ever.

#ifndef PIM_RUN_SPAWN_H
#define PIM_RUN_SPAWN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pim_answer {
    int error;       // errno if it could not be started, else 0
    int status;      // exit status; -1: ended by a signal, or killed by us
    char text[8192]; // the beginning of what it wrote to stdout
} pim_answer;

// Runs argv[0], found as by execvp(), with one more environment variable
// ("NAME=VALUE", or NULL), stdin from /dev/null and stderr as ours.  After
// `seconds` it is killed with its process group.
void pim_spawn_ask(char *const argv[], const char *variable, int seconds,
                   pim_answer *out);

#endif // PIM_RUN_SPAWN_H
