// say.c -- write(2) as it must be called, and messages through it.

#define _GNU_SOURCE

#include "platform/say.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static bool stderr_was_closed;

// Writes all of it, however little the system takes at a time.
static int
write_all(int fd, const char *data, size_t bytes)
{
    while (bytes != 0) {
        ssize_t n = write(fd, data, bytes);
        if (n >= 0) {
            data += n;
            bytes -= (size_t)n;
        } else if (errno == EAGAIN) {
            // Somebody else made it non-blocking; they did not mean us.
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

// Whoever stops reading what we say must not end the program that it is about.
int
pim_write(int fd, const char *data, size_t bytes)
{
    sigset_t broken_pipe;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    int err = write_all(fd, data, bytes);
    if (err == -EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        sigtimedwait(&broken_pipe, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

void
pim_say_look_at_stderr(void)
{
    stderr_was_closed = fcntl(STDERR_FILENO, F_GETFD) < 0;
}

int
pim_say_fd(void)
{
    return stderr_was_closed ? -1 : STDERR_FILENO;
}

void
pim_say(const char *format, ...)
{
    char text[PIM_SAY_MAX];
    int fd = pim_say_fd();
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (fd >= 0 && length > 0) {
        size_t bytes = (size_t)length;
        pim_write(fd, text, bytes < sizeof(text) ? bytes : sizeof(text) - 1);
    }
}
