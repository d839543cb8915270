// out.c -- a buffer, and what puts text and numbers into it.

#define _GNU_SOURCE

#include "platform/out.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "platform/say.h"

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

static void
flush(pim_out *out)
{
    if (out->err == 0) {
        out->err = out->stream != NULL
                       ? pim_print(out->stream, out->buffer, out->used)
                       : pim_write(out->fd, out->buffer, out->used);
    }
    out->used = 0;
}

void
pim_out_bytes(pim_out *out, const void *data, size_t bytes)
{
    const char *text = data;
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
    pim_out_bytes(out, text, strlen(text));
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

void
pim_out_count(pim_out *out, uint64_t n, const char *noun)
{
    pim_out_printf(out, "%s %s%s", pim_number_grouped(n).text, noun,
                   n == 1 ? "" : "s");
}

void
pim_out_json_string(pim_out *out, const char *text)
{
    const char *character;
    size_t bytes;
    pim_out_text(out, "\"");
    while ((bytes = pim_utf8_next(&text, &character)) != 0) {
        unsigned char c = (unsigned char)*character;
        if (c == '"' || c == '\\') {
            pim_out_text(out, "\\");
        }
        if (c < ' ' || c == '<' || c == '>' || c == '&') {
            pim_out_printf(out, "\\u%04x", c);
        } else {
            pim_out_bytes(out, character, bytes);
        }
    }
    pim_out_text(out, "\"");
}

int
pim_out_finish(pim_out *out)
{
    flush(out);
    return out->err;
}
