// ask.c -- a child, a pipe, and a deadline.

#define _GNU_SOURCE

#include "run/ask.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/path.h"
#include "run/common.h"

static _Noreturn void
become(char *const argv[], const char *variable, int answer)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // ^C ends us, and then it, too
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(answer, 1) == 1 &&
        (variable == NULL || putenv((char *)(uintptr_t)variable) == 0)) {
        execvp(argv[0], argv);
    }
    _exit(PIM_RUN_NOT_STARTED);
}

static time_t
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// Up to the end of what the child and its own children write.  False: there is
// more, or none by the deadline.  We have no signal handlers, so no call is
// interrupted.
static bool
read_answer(int fd, time_t deadline, pim_answer *out)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ssize_t n = 1;
    for (size_t used = 0; used + 1 < sizeof(out->text); used += (size_t)n) {
        time_t left = deadline - seconds_now();
        if (left <= 0 || poll(&wait, 1, (int)left * 1000) <= 0) {
            return false;
        }
        n = read(fd, out->text + used, sizeof(out->text) - 1 - used);
        if (n <= 0) {
            return n == 0;
        }
    }
    return false;
}

void
pim_ask(char *const argv[], const char *variable, int seconds, pim_answer *out)
{
    int ends[2];
    int status;
    struct sigaction before;
    *out = (pim_answer){.status = -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    // Where SIGCHLD is ignored nobody could wait.
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &before);
    pid_t child = fork();
    if (child == 0) {
        become(argv, variable, ends[1]);
    }
    close(ends[1]);
    bool ended =
        child > 0 && read_answer(ends[0], seconds_now() + seconds, out);
    close(ends[0]);
    if (child > 0 && !ended) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    if (child > 0 && waitpid(child, &status, 0) == child && ended &&
        WIFEXITED(status)) {
        out->status = WEXITSTATUS(status);
    }
    sigaction(SIGCHLD, &before, NULL);
}

// --- pyenv -------------------------------------------------------------------

#define PYENV_SECONDS 20

const char *
pim_ask_pyenv(const char *script)
{
    char text[2048] = "";
    char pyenv[sizeof(text)];
    int end = 0;
    FILE *file = fopen(script, "re");
    if (file != NULL) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    // A shim ends with: exec "/where/it/is/pyenv" exec "$program" "$@"
    const char *last = strstr(text, "\nexec \"");
    if (last == NULL ||
        sscanf(last, " exec \"%[^\"]\" exec \"$program\"%n", pyenv, &end) !=
            1 ||
        end == 0 || strcmp(pim_path_name(pyenv), "pyenv") != 0) {
        return NULL;
    }
    const char *words[] = {pyenv, "which", pim_path_name(script)};
    char *none[] = {NULL};
    pim_answer answer;
    pim_ask(pim_words(words, PIM_ARRAY_LEN(words), none), NULL, PYENV_SECONDS,
            &answer);
    bool found = answer.status == 0 && answer.text[0] == '/';
    answer.text[strcspn(answer.text, "\n")] = '\0';
    return found ? pim_text("%s", answer.text) : "";
}
