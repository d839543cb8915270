// text.c -- see text.h.

#define _GNU_SOURCE

#include "run/text.h"

#include <err.h>
#include <stdarg.h>
#include <stdio.h>

#include "run/status.h"

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
