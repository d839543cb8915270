// spawn.c -- a child, a pipe, and a deadline.

#define _GNU_SOURCE

#include "run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

static _Noreturn void
become(char *const argv[], const char *variable, int answer, int failure)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // it must not outlive our caller's ^C
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(answer, 1) == 1 &&
        (variable == NULL || putenv((char *)(uintptr_t)variable) == 0)) {
        execvp(argv[0], argv);
    }
    int error = errno;
    if (write(failure, &error, sizeof(error)) < 0) {
        _exit(126);
    }
    _exit(127);
}

// Reads until the other end is closed or the deadline has passed.
static bool
read_answer(int fd, long deadline, pim_answer *out)
{
    size_t used = 0;
    for (;;) {
        long left = deadline - now_ms();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return false;
        }
        char rest[1024];
        bool full = used + 1 >= sizeof(out->text);
        ssize_t n =
            full ? read(fd, rest, sizeof(rest))
                 : read(fd, out->text + used, sizeof(out->text) - 1 - used);
        if (n <= 0) {
            return n == 0;
        }
        used += full ? 0 : (size_t)n;
    }
}

static void
collect(pid_t child, int answer, int failure, int seconds, pim_answer *out)
{
    bool ended = read_answer(answer, now_ms() + seconds * 1000L, out);
    if (!ended) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (read(failure, &out->error, sizeof(out->error)) != sizeof(out->error)) {
        out->error = 0;
    }
    out->status = ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
pim_spawn_ask(char *const argv[], const char *variable, int seconds,
              pim_answer *out)
{
    memset(out, 0, sizeof(*out));
    out->status = -1;
    int answer[2];
    int failure[2]; // closed by a successful exec
    if (pipe2(answer, O_CLOEXEC) != 0) {
        out->error = errno;
        return;
    }
    if (pipe2(failure, O_CLOEXEC) != 0) {
        out->error = errno;
        goto close_answer;
    }
    pid_t child = fork();
    if (child == 0) {
        become(argv, variable, answer[1], failure[1]);
    }
    close(answer[1]);
    close(failure[1]);
    if (child < 0) {
        out->error = errno;
    } else {
        collect(child, answer[0], failure[0], seconds, out);
    }
    close(failure[0]);
    close(answer[0]);
    return;

close_answer:
    close(answer[0]);
    close(answer[1]);
}
