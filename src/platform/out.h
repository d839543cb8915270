// out.h -- text on its way to a file descriptor or a stream.
//
// A buffer of fixed size in front of write(2): what is reported about an
// allocator must not allocate.  The first error stays and silences the rest, so
// callers ask once, at the end.

#ifndef PIM_PLATFORM_OUT_H
#define PIM_PLATFORM_OUT_H

#include <stdio.h>

#include "base/compiler.h"

typedef struct pim_out {
    int fd;
    FILE *stream; // if not NULL, takes the text instead of fd
    int err;      // 0, or the first failure as a negative errno
    size_t used;
    char buffer[4096];
} pim_out;

// Prepares; `buffer` needs no initialisation.
void pim_out_open_fd(pim_out *out, int fd);
void pim_out_open_stream(pim_out *out, FILE *stream);

void pim_out_bytes(pim_out *out, const void *data, size_t bytes);
void pim_out_text(pim_out *out, const char *text);

// Like printf(); one call gives less than 512 bytes.
__attribute__((format(printf, 2, 3))) void
pim_out_printf(pim_out *out, const char *format, ...);

// A number with separators between thousands; room for any uint64_t.
typedef struct pim_number_text {
    char text[32];
} pim_number_text;

pim_number_text pim_number_grouped(uint64_t n);

// "1 block", "2,000 blocks".
void pim_out_count(pim_out *out, uint64_t n, const char *noun);

// A string of JSON's, with its quotes.  It may stand in HTML's <script>, too,
// and what is no UTF-8 is replaced.
void pim_out_json_string(pim_out *out, const char *text);

// Writes what is buffered.  0, or the first failure of all calls so far.  A
// pipe that nobody reads is -EPIPE and raises no signal.
int pim_out_finish(pim_out *out);

#endif // PIM_PLATFORM_OUT_H
