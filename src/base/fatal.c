// fatal.c -- the last words of a process whose memory cannot be trusted.
//
// Uses a system call and a buffer on the stack only: the heap is what is
// broken.

#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

bool (*pim_fatal_describe)(const void *address, char *text, size_t size);

_Noreturn void
pim_fatal_text(const char *what, const void *address)
{
    char line[512];
    int length =
        address != NULL
            ? snprintf(line, sizeof(line), "pimalloc: fatal: %s (%p)\n", what,
                       address)
            : snprintf(line, sizeof(line), "pimalloc: fatal: %s\n", what);
    if (length > 0) {
        size_t n =
            (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
        // Unlike write(), no cancellation point: the thread may not get away.
        (void)syscall(SYS_write, STDERR_FILENO, line, n);
    }
    abort();
}

_Noreturn void
pim_fatal(const char *what, const void *address)
{
    char text[400];
    char about[200];
    if (address != NULL && pim_fatal_describe != NULL &&
        pim_fatal_describe(address, about, sizeof(about))) {
        snprintf(text, sizeof(text), "%s: %s", what, about);
        what = text;
    }
    pim_fatal_text(what, address);
}
