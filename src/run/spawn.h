// spawn.h -- asking another program, for a limited time.

#ifndef PIM_RUN_SPAWN_H
#define PIM_RUN_SPAWN_H

typedef struct pim_answer {
    int status;      // exit status, 126 if not started; -1: it was killed
    char text[8192]; // the beginning of its stdout
} pim_answer;

// Runs argv[0], found as by execvp(), with one more environment variable
// ("NAME=VALUE", or NULL), stdin from /dev/null and stderr as ours.  After
// `seconds` it is killed with its process group.
void pim_spawn_ask(char *const argv[], const char *variable, int seconds,
                   pim_answer *out);

#endif // PIM_RUN_SPAWN_H
