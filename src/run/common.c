// common.c -- see common.h.

#define _GNU_SOURCE

#include "run/common.h"

#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
pim_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    verrx(PIM_RUN_FAILED, format, arguments);
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
    size_t of_rest = (size_t)pim_count(rest);
    char **out = calloc(count + of_rest + 1, sizeof(*out));
    if (out == NULL) {
        err(PIM_RUN_FAILED, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = pim_text("%s", words[i]);
    }
    memcpy(out + count, rest, of_rest * sizeof(*out));
    return out;
}
