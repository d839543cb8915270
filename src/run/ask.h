// ask.h -- asking other programs, for a limited time.

#ifndef PIM_RUN_ASK_H
#define PIM_RUN_ASK_H

typedef struct pim_answer {
    int status;       // exit status, 126 if not started; -1: it was killed
    char text[65536]; // its stdout
} pim_answer;

// Runs argv[0], found as by execvp(), with one more environment variable
// ("NAME=VALUE", or NULL), stdin from /dev/null and stderr as ours.  After
// `seconds`, or if it writes more, it is killed with its process group.
void pim_ask(char *const argv[], const char *variable, int seconds,
             pim_answer *out);

// The program that `script`, one of pyenv's shims, would execute, or "" if
// pyenv finds none and has said so on stderr.  NULL: it is no shim.  pyenv
// itself is asked, which takes some tenths of a second.
const char *pim_ask_pyenv(const char *script);

#endif // PIM_RUN_ASK_H
