// expect.c -- how a failed expectation ends.

#define _GNU_SOURCE

#include "support/expect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t test_thread; // the thread that runs cmocka

__attribute__((constructor)) static void
remember_test_thread(void)
{
    test_thread = (pid_t)syscall(SYS_gettid);
}

_Noreturn void
expect_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: expected: %s\n", file, line, what);
    fflush(stderr);
    if ((pid_t)syscall(SYS_gettid) == test_thread) {
        _fail(file, line);
    }
    abort();
}

_Noreturn void
expect_differs(const char *file, int line, const char *what, intmax_t a,
               intmax_t b)
{
    char text[512];
    snprintf(text, sizeof(text),
             "%s; it is %" PRIdMAX " (0x%" PRIxMAX ") and %" PRIdMAX
             " (0x%" PRIxMAX ")",
             what, a, (uintmax_t)a, b, (uintmax_t)b);
    expect_failed(file, line, text);
}
