// common.c -- texts, and a child with a pipe and a deadline.

#define _GNU_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/threads.h"
#include "run/run.h"

void
pim_exit(int status)
{
    if (fflush(stdout) != 0) {
        err(PIM_RUN_FAILED, "stdout");
    }
    exit(status);
}

void
pim_set_variable(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0) {
        err(PIM_RUN_FAILED, "%s", name);
    }
}

char *
pim_text(const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        err(PIM_RUN_FAILED, NULL);
    }
    va_end(arguments);
    return text;
}

int
pim_count(char *const *argv)
{
    int n = 0;
    while (argv[n] != NULL) {
        n++;
    }
    return n;
}

char **
pim_words(const char *const *words, size_t count, char *const *rest)
{
    size_t of_rest = (size_t)pim_count(rest) + 1;
    size_t used = 0;
    char **out = calloc(count + of_rest, sizeof(*out));
    if (out == NULL) {
        err(PIM_RUN_FAILED, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        if (words[i] != NULL) {
            out[used++] = pim_text("%s", words[i]);
        }
    }
    memcpy(out + used, rest, of_rest * sizeof(*out));
    return out;
}

// Up to the end of what the child and its own children write.  False: there is
// more, or none by the deadline.  We have no signal handlers, so no call is
// interrupted.
static bool
read_answer(int fd, unsigned seconds, pim_answer *out)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t now = pim_clock_ms();
    const uint64_t end = now + 1000 * seconds;
    size_t used = 0;
    ssize_t n = 1;
    while (n > 0 && used + 1 < sizeof(out->text) && now < end &&
           poll(&wait, 1, (int)(end - now)) > 0) {
        n = read(fd, out->text + used, sizeof(out->text) - 1 - used);
        used += n > 0 ? (size_t)n : 0;
        now = pim_clock_ms();
    }
    return n == 0;
}

void
pim_ask(char *const argv[], unsigned seconds, pim_answer *out)
{
    int ends[2];
    int status;
    pid_t child;
    signal(SIGCHLD, SIG_DFL); // where it is ignored, nobody could wait
    if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        err(PIM_RUN_FAILED, "%s", argv[0]);
    }
    if (child == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); // ^C ends us, and then it, too
        if (dup2(open("/dev/null", O_RDONLY), 0) == 0 &&
            dup2(ends[1], 1) == 1) {
            execvp(argv[0], argv);
        }
        _exit(PIM_RUN_NOT_STARTED);
    }
    close(ends[1]);
    *out = (pim_answer){.status = -1};
    bool ended = read_answer(ends[0], seconds, out);
    close(ends[0]);
    if (!ended) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    if (waitpid(child, &status, 0) == child && ended && WIFEXITED(status)) {
        out->status = WEXITSTATUS(status);
    }
}
