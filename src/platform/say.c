// say.c -- write(2) as it must be called, and messages through it.

#define _GNU_SOURCE

#include "platform/say.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "platform/cancel.h"

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

static int
print_all(FILE *stream, const char *data, size_t bytes)
{
    errno = 0;
    if (fwrite(data, 1, bytes, stream) == bytes && fflush(stream) == 0) {
        return 0;
    }
    return errno != 0 ? -errno : -EIO;
}

// To the stream, or to fd if that is NULL.  Whoever stops reading what we say
// must not end the program that it is about.
static int
put_without_signal(FILE *stream, int fd, const char *data, size_t bytes)
{
    sigset_t broken_pipe;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    sigpending(&pending);
    PIM_NO_CANCEL;
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    int err = stream != NULL ? print_all(stream, data, bytes)
                             : write_all(fd, data, bytes);
    if (err == -EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        sigtimedwait(&broken_pipe, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

int
pim_write(int fd, const char *data, size_t bytes)
{
    return put_without_signal(NULL, fd, data, bytes);
}

int
pim_print(FILE *stream, const char *data, size_t bytes)
{
    return put_without_signal(stream, -1, data, bytes);
}

void
pim_say_look_at_stderr(void)
{
    struct pollfd it = {.fd = STDERR_FILENO};
    stderr_was_closed = poll(&it, 1, 0) == 1 && (it.revents & POLLNVAL) != 0;
}

int
pim_say_fd(void)
{
    return stderr_was_closed ? -1 : STDERR_FILENO;
}

__attribute__((format(printf, 2, 0))) static void
say(int fd, const char *format, va_list args)
{
    char text[PIM_SAY_MAX];
    int length = vsnprintf(text, sizeof(text), format, args);
    if (fd >= 0 && length > 0) {
        size_t bytes = (size_t)length;
        pim_write(fd, text, bytes < sizeof(text) ? bytes : sizeof(text) - 1);
    }
}

void
pim_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(pim_say_fd(), format, args);
    va_end(args);
}

void
pim_say_at_once(const char *format, ...)
{
    va_list args;
    struct pollfd room = {.fd = pim_say_fd(), .events = POLLOUT};
    PIM_NO_CANCEL;
    bool ready =
        room.fd >= 0 && poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0;
    va_start(args, format);
    if (ready) {
        say(room.fd, format, args);
    }
    va_end(args);
}
