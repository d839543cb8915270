// spawn.c -- a child, a pipe, and a deadline.

#define _GNU_SOURCE

#include "run/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/status.h"

static long
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

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

// False: the deadline passed before the other end was closed.  We have no signal
// handlers, so no call is interrupted.
static bool
read_answer(int fd, long deadline, pim_answer *out)
{
    size_t used = 0;
    for (;;) {
        char surplus[1024];
        size_t room = sizeof(out->text) - 1 - used;
        long left = deadline - now_ms();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0) {
            return false;
        }
        ssize_t n = room != 0 ? read(fd, out->text + used, room)
                              : read(fd, surplus, sizeof(surplus));
        if (n <= 0) {
            return n == 0;
        }
        used += room != 0 ? (size_t)n : 0;
    }
}

void
pim_spawn_ask(char *const argv[], const char *variable, int seconds,
              pim_answer *out)
{
    int ends[2];
    *out = (pim_answer){.status = -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        become(argv, variable, ends[1]);
    }
    close(ends[1]);
    if (child > 0) {
        int status;
        bool ended = read_answer(ends[0], now_ms() + seconds * 1000L, out);
        if (!ended) {
            kill(-child, SIGKILL);
            kill(child, SIGKILL);
        }
        if (waitpid(child, &status, 0) == child && ended && WIFEXITED(status)) {
            out->status = WEXITSTATUS(status);
        }
    }
    close(ends[0]);
}
