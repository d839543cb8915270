// save.c -- a statistics file that is whole at any moment.
//
//   dir/.pimalloc-<pid>-<time>.tmp  --written, closed, renamed-->  dir/stats.json
//
// Whoever opens the file sees the old figures or the new ones.  Not synced to
// the disk: after a crash of the system nobody wants these figures.
//
// Only a regular file is replaced so.  Devices, pipes and sockets are written
// to, and so is the file that stdout or stderr goes to: replacing /dev/stderr or
// the log that it leads to would be a surprise.

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/path.h"
#include "report/report.h"

// A name is taken if another thread began at the same nanosecond.
#define TRIES 100

// Longest name of a temporary file.
#define TEMPORARY_MAX 64

// stdout or stderr, if it writes into that file; else -1.
static int
standard_output_into(const struct stat *file)
{
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat s;
        if (fstat(fd, &s) == 0 && s.st_dev == file->st_dev &&
            s.st_ino == file->st_ino) {
            return fd;
        }
    }
    return -1;
}

static int
write_report(int fd, int format, bool names_pid)
{
    pim_out out;
    pim_out_open_fd(&out, fd);
    return pim_report_write(&out, format, names_pid);
}

// Opens a new file in the folder of `path` and leaves its name in `name`.  Names
// do not repeat, for processes that end on the way leave theirs behind, and in a
// container the next one has the same pid.
static int
open_temporary(const char *path, char *name, size_t size)
{
    int folder = (int)pim_path_folder(path);
    int fd = -1;
    for (int i = 0; i < TRIES && fd < 0; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(name, size, "%.*s.pimalloc-%ld-%lld%09ld.tmp", folder, path,
                 (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) {
            break;
        }
    }
    return fd < 0 ? -errno : fd;
}

static int
replace(const char *path, int format, bool names_pid)
{
    char name[PATH_MAX + TEMPORARY_MAX];
    int fd = open_temporary(path, name, sizeof(name));
    if (fd < 0) {
        return fd;
    }
    int err = write_report(fd, format, names_pid);
    if (close(fd) != 0 && errno != EINTR && err == 0) {
        err = -errno; // some file systems report a full disk only now
    }
    if (err == 0 && rename(name, path) != 0) {
        err = -errno;
    }
    if (err != 0) {
        unlink(name);
    }
    return err;
}

// What is no regular file.  Does not wait for a pipe's reader to appear.
static int
write_in_place(const char *path, bool follow, int format, bool names_pid)
{
    struct stat s;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
                            (follow ? 0 : O_NOFOLLOW));
    if (fd < 0) {
        return -errno;
    }
    int err = fstat(fd, &s) != 0 ? -errno : 0;
    bool is_regular = err == 0 && S_ISREG(s.st_mode); // since we looked
    if (err == 0 && !is_regular) {
        err = pim_path_is_planted(path, &s)
                  ? -EACCES
                  : write_report(fd, format, names_pid);
    }
    close(fd);
    return is_regular ? replace(path, format, names_pid) : err;
}

int
pimalloc_stats_save(const char *path, int format)
{
    char place[PATH_MAX];
    struct stat s;
    bool has_pid;
    bool is_link;
    if (path == NULL || *path == '\0') {
        return -EINVAL;
    }
    int err = pim_path_expand(path, place, &has_pid);
    if (err != 0) {
        return err;
    }
    int fd = stat(place, &s) == 0 ? standard_output_into(&s) : -1;
    if (fd >= 0) {
        return write_report(fd, format, has_pid);
    }
    err = pim_path_follow(place, &is_link); // a symbolic link stays one
    if (err != 0) {
        return err;
    }
    return stat(place, &s) == 0 && !S_ISREG(s.st_mode)
               ? write_in_place(place, is_link, format, has_pid)
               : replace(place, format, has_pid);
}
