// say.h -- telling the people who run the program.
//
// A message goes to stderr in one write(2).  That must neither end the program,
// if nobody reads its stderr any more, nor spoil a file of its own.

#ifndef PIM_PLATFORM_SAY_H
#define PIM_PLATFORM_SAY_H

#include <stddef.h>
#include <stdio.h>

// Longest message; what is more is cut off.
#define PIM_SAY_MAX 8192

// Writes the text to stderr.
void pim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The same if that need not wait for whoever reads it; else nothing.
void pim_say_at_once(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

// Remembers that stderr is closed, if it is: whatever opens as its number later
// is a file of the program's.
void pim_say_look_at_stderr(void);

// The descriptor of stderr, or -1 where it was closed.
int pim_say_fd(void);

// Writes all of it to a descriptor, without SIGPIPE.  0 or -errno.
int pim_write(int fd, const char *data, size_t bytes);

// The same to a stream, which is flushed; does not wait where its descriptor is
// non-blocking.
int pim_print(FILE *stream, const char *data, size_t bytes);

#endif // PIM_PLATFORM_SAY_H
