// path.c -- which file a path means.
//
//   app-%p.json  --expand-->  app-4711.json  --follow-->  /srv/figures/now.json
//
// A new file is renamed into its place, and rename(2) would replace a symbolic
// link.  So links are followed here, one by one, and the kernel's guard against
// links that others lay for us (fs.protected_symlinks) does not see it.  Its
// rule therefore stands here again, whatever that setting says.

#define _GNU_SOURCE

#include "platform/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

// As many as the kernel follows.
#define LINKS_MAX 40

int
pim_path_expand(const char *path, char out[PATH_MAX], bool *has_pid)
{
    char pid[24];
    size_t used = 0;
    size_t digits = (size_t)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    *has_pid = false;
    while (*path != '\0') {
        bool is_pid = path[0] == '%' && path[1] == 'p';
        bool is_pair = is_pid || (path[0] == '%' && path[1] == '%');
        size_t n = is_pid ? digits : 1;
        if (used + n >= PATH_MAX) {
            return -ENAMETOOLONG;
        }
        memcpy(out + used, is_pid ? pid : path, n);
        used += n;
        path += is_pair ? 2 : 1;
        *has_pid = *has_pid || is_pid;
    }
    out[used] = '\0';
    return 0;
}

size_t
pim_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash + 1 - path) : 0;
}

const char *
pim_path_name(const char *path)
{
    return path + pim_path_folder(path);
}

bool
pim_path_is_same(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
           of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

bool
pim_path_is_planted(const char *path, const struct stat *file)
{
    char folder[PATH_MAX];
    struct stat s;
    int length = (int)pim_path_folder(path);
    bool is_ours = file->st_uid == geteuid();
    bool has_names = S_ISREG(file->st_mode) && file->st_nlink > 1;
    snprintf(folder, sizeof(folder), "%.*s", length != 0 ? length : 1,
             length != 0 ? path : ".");
    if (is_ours && !has_names) {
        return false;
    }
    return stat(folder, &s) != 0 ||
           ((s.st_mode & S_ISVTX) != 0 && (s.st_mode & S_IWOTH) != 0 &&
            (has_names || s.st_uid != file->st_uid));
}

// A link of procfs stands for an open file; its text is no path if that is not
// a regular one.
static bool
is_only_for_open(int link, const char *path)
{
    struct statfs system;
    struct stat s;
    return fstatfs(link, &system) == 0 && system.f_type == PROC_SUPER_MAGIC &&
           stat(path, &s) == 0 && (!S_ISREG(s.st_mode) || s.st_nlink == 0);
}

// Puts what the open link at `path` says in place of its name.
static int
step(int link, char path[PATH_MAX])
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(link, "", text, sizeof(text));
    if (n <= 0) {
        return n < 0 ? -errno : -ENOENT;
    }
    size_t folder = text[0] == '/' ? 0 : pim_path_folder(path);
    if (folder + (size_t)n >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(path + folder, text, (size_t)n);
    path[folder + (size_t)n] = '\0';
    return 0;
}

// Held open, what is looked at and what is read are one link.
int
pim_path_follow(char path[PATH_MAX], bool *ends_in_link)
{
    *ends_in_link = false;
    for (int i = 0; i < LINKS_MAX; i++) {
        struct stat s;
        int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            return errno == ENOENT ? 0 : -errno;
        }
        int err = fstat(fd, &s) != 0 ? -errno : 0;
        bool done = err != 0 || !S_ISLNK(s.st_mode);
        if (!done && is_only_for_open(fd, path)) {
            *ends_in_link = done = true;
        } else if (!done) {
            err = pim_path_is_planted(path, &s) ? -EACCES : step(fd, path);
        }
        close(fd);
        if (done || err != 0) {
            return err;
        }
    }
    return -ELOOP;
}
