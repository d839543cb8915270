// file.c -- files that are whole at any moment, that are appended to, and that grow
// block by block.
//
//   replaced:  dir/.pimalloc-<pid>-<time>.tmp  --written, closed, renamed-->  path
//
// Whoever opens a file that is replaced sees the old content or the new one.
// It is not synced to the disk: after a crash of the system nobody wants a
// report.
//
// Only a regular file is replaced.  Devices, pipes and sockets are written to,
// and so is the file that stdout or stderr goes to: replacing /dev/stderr or
// the log that it leads to would be a surprise.

#define _GNU_SOURCE

#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/path.h"

// A name is taken if another thread began at the same nanosecond.
#define TRIES 100

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

// A new file in the folder of the path.  Names do not repeat, for processes
// that end on the way leave theirs behind, and in a container the next one has
// the same pid.
static int
open_temporary(pim_file *file)
{
    int folder = (int)pim_path_folder(file->path);
    file->fd = -1;
    for (int i = 0; i < TRIES && file->fd < 0; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(file->temporary, sizeof(file->temporary),
                 "%.*s.pimalloc-%ld-%lld%09ld.tmp", folder, file->path,
                 (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
        file->fd = open(file->temporary,
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->fd < 0 && errno != EEXIST) {
            break;
        }
    }
    return file->fd < 0 ? -errno : 0;
}

// The file itself.  Neither waits for a pipe's reader to appear nor follows a
// link that came since we looked; *found tells what it is.
static int
open_itself(pim_file *file, bool is_link, int more, struct stat *found)
{
    file->fd = open(file->path,
                    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | more |
                        (is_link ? 0 : O_NOFOLLOW),
                    0666);
    if (file->fd < 0) {
        return -errno;
    }
    int err = fstat(file->fd, found) != 0 ? -errno : 0;
    if (err == 0 && pim_path_is_planted(file->path, found)) {
        err = -EACCES;
    }
    if (err != 0) {
        close(file->fd);
    }
    return err;
}

static int
open_to_replace(pim_file *file, bool is_link)
{
    struct stat s;
    if (stat(file->path, &s) != 0 || S_ISREG(s.st_mode)) {
        return open_temporary(file);
    }
    int err = open_itself(file, is_link, 0, &s);
    if (err == 0 && S_ISREG(s.st_mode)) { // since we looked
        close(file->fd);
        err = open_temporary(file);
    }
    return err;
}

// A file system without locks is no reason to refuse.
static int
open_anew(pim_file *file, bool is_link)
{
    struct stat s;
    int err = open_itself(file, is_link, O_CREAT, &s);
    if (err != 0) {
        return err;
    }
    if (!S_ISREG(s.st_mode)) {
        err = -ESPIPE;
    } else if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 &&
               errno == EWOULDBLOCK) {
        err = -EBUSY;
    } else {
        file->is_locked = true;
        err = ftruncate(file->fd, 0) != 0 ? -errno : 0;
    }
    if (err != 0) {
        close(file->fd);
    }
    return err;
}

int
pim_file_open(pim_file *file, const char *user_path, pim_file_mode mode)
{
    struct stat s;
    bool is_link;
    *file = (pim_file){.fd = -1};
    int err = pim_path_expand(user_path, file->path, &file->has_pid);
    if (err != 0) {
        return err;
    }
    int fd = stat(file->path, &s) == 0 ? standard_output_into(&s) : -1;
    if (fd >= 0 && mode == PIM_FILE_ANEW) {
        return -ESPIPE;
    }
    if (fd >= 0) {
        file->fd = fd;
        file->is_borrowed = true;
        return 0;
    }
    err = pim_path_follow(file->path, &is_link); // a symbolic link stays one
    if (err != 0) {
        return err;
    }
    return mode == PIM_FILE_REPLACE ? open_to_replace(file, is_link)
           : mode == PIM_FILE_ANEW
               ? open_anew(file, is_link)
               : open_itself(file, is_link, O_APPEND | O_CREAT, &s);
}

static int
write_all_at(int fd, const char *data, size_t bytes, uint64_t place)
{
    while (bytes != 0) {
        ssize_t n = pwrite(fd, data, bytes, (off_t)place);
        if (n >= 0) {
            data += n;
            bytes -= (size_t)n;
            place += (uint64_t)n;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int
pim_file_write_at(const pim_file *file, const void *data, size_t bytes,
                  uint64_t place)
{
    sigset_t too_long;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&too_long);
    sigaddset(&too_long, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &too_long, &before);
    int err = write_all_at(file->fd, data, bytes, place);
    if (err == -EFBIG && sigismember(&pending, SIGXFSZ) == 0) {
        sigtimedwait(&too_long, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

int
pim_file_close(pim_file *file, int err)
{
    if (file->is_locked) {
        flock(file->fd, LOCK_UN); // children may have the same open file
    }
    if (!file->is_borrowed && close(file->fd) != 0 && errno != EINTR &&
        err == 0) {
        err = -errno; // some file systems report a full disk only now
    }
    if (file->temporary[0] == '\0') {
        return err;
    }
    if (err == 0 && rename(file->temporary, file->path) != 0) {
        err = -errno;
    }
    if (err != 0) {
        unlink(file->temporary);
    }
    return err;
}
