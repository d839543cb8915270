// message.c -- one line for each message, written at once.

#include "run/message.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void __attribute__((format(printf, 1, 0)))
say(const char *format, va_list arguments)
{
    // In one piece, because COMMAND's siblings may share this stderr.
    char text[2 * PATH_MAX];
    vsnprintf(text, sizeof(text), format, arguments);
    fprintf(stderr, "pimalloc-run: %s\n", text);
}

void
pim_run_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void
pim_run_fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(status);
}
