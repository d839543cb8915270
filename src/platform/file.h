// file.h -- opening a file that the user named for a report.
//
// The one way to open such a file.  It neither waits nor is led astray: a pipe
// without a reader is an error at once, and a file or a link that somebody else
// may have laid into a shared folder is refused (pim_path_is_planted()).  What
// stdout or stderr goes to is written to through them.

#ifndef PIM_PLATFORM_FILE_H
#define PIM_PLATFORM_FILE_H

#include <limits.h>

#include "base/compiler.h"

// Longest name of a temporary file.
#define PIM_FILE_TEMPORARY_MAX 64

typedef enum pim_file_mode {
    // A regular file gets the new content when it is closed, as a whole.
    PIM_FILE_REPLACE,
    // Every write goes to the end.
    PIM_FILE_APPEND,
    // A regular file is emptied, and locked against other processes that do so;
    // for pim_file_write_at().
    PIM_FILE_ANEW
} pim_file_mode;

typedef struct pim_file {
    int fd;
    bool has_pid;        // the path stands for this process only
    bool is_borrowed;    // stdout or stderr
    bool is_locked;      // by this process
    char path[PATH_MAX]; // what the user's path means, as far as it is known
    char temporary[PATH_MAX + PIM_FILE_TEMPORARY_MAX]; // to be renamed, or ""
} pim_file;

// user_path: as pim_path_expand() takes it.  0 or -errno: -ENXIO for a pipe
// without a reader, -EACCES for what is planted; PIM_FILE_ANEW: -ESPIPE for what
// is no regular file, or is what stdout goes to, and -EBUSY.  Then nothing is to be
// closed.
int pim_file_open(pim_file *file, const char *user_path, pim_file_mode mode);

// Writes all of it at a place of the file, which may lie behind its end.  0 or
// -errno; no signal tells that the file is longer than the process may make it.
int pim_file_write_at(const pim_file *file, const void *data, size_t bytes,
                      uint64_t place);

// Closes it.  err: what writing it came to; if that is not 0, a file that was
// to be replaced stays.  Returns err, or else what closing came to.
int pim_file_close(pim_file *file, int err);

#endif // PIM_PLATFORM_FILE_H
