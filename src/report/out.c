// out.c -- a buffer, and write(2) as it must be called.

#define _GNU_SOURCE

#include "report/out.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

#define PRINTF_MAX 512

void
pim_out_open_fd(pim_out *out, int fd)
{
    out->fd = fd;
    out->stream = NULL;
    out->err = 0;
    out->used = 0;
}

void
pim_out_open_stream(pim_out *out, FILE *stream)
{
    pim_out_open_fd(out, -1);
    out->stream = stream;
}

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

// The same without SIGPIPE: whoever stops reading our figures must not end the
// program that they are about.
static int
write_without_signal(int fd, const char *data, size_t bytes)
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

static void
flush(pim_out *out)
{
    if (out->err == 0 && out->stream == NULL) {
        out->err = write_without_signal(out->fd, out->buffer, out->used);
    } else if (out->err == 0 &&
               fwrite(out->buffer, 1, out->used, out->stream) != out->used) {
        out->err = -EIO;
    }
    out->used = 0;
}

static void
put(pim_out *out, const char *text, size_t bytes)
{
    while (bytes != 0) {
        size_t room = sizeof(out->buffer) - out->used;
        size_t n = bytes < room ? bytes : room;
        memcpy(out->buffer + out->used, text, n);
        out->used += n;
        text += n;
        bytes -= n;
        if (out->used == sizeof(out->buffer)) {
            flush(out);
        }
    }
}

void
pim_out_text(pim_out *out, const char *text)
{
    put(out, text, strlen(text));
}

void
pim_out_printf(pim_out *out, const char *format, ...)
{
    char text[PRINTF_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    PIM_ASSERT(length >= 0 && (size_t)length < sizeof(text));
    pim_out_text(out, text);
}

pim_number_text
pim_number_grouped(uint64_t n)
{
    pim_number_text out;
    char digits[24];
    int length =
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    char *to = out.text;
    for (int i = 0; i < length; i++) {
        if (i != 0 && (length - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

int
pim_out_finish(pim_out *out)
{
    flush(out);
    return out->err;
}
