// input.c -- the files the demo works on; memory and time, asked from Linux.

#include "demo.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int
files_add(struct files *files, char *path)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity * 2 + 1024;
        char **paths = realloc(files->paths, capacity * sizeof(*paths));
        if (paths == NULL) {
            return -1;
        }
        files->paths = paths;
        files->capacity = capacity;
    }
    files->paths[files->count++] = path;
    return 0;
}

static bool
is_python_source(const char *path, const struct stat *st)
{
    size_t length = strlen(path);
    return length > 3 && strcmp(path + length - 3, ".py") == 0 &&
           (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode));
}

// Third-party packages live inside the standard library's directory and are
// not part of it.
static bool
is_skipped(const char *name, bool is_stdlib)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           (is_stdlib && (strcmp(name, "site-packages") == 0 ||
                          strcmp(name, "dist-packages") == 0));
}

// Appends every .py file below `directory`, in alphabetical order, so that two
// runs share out the same list.  A link to a file is followed, a link to a
// directory is not; a link to nothing stays in the list, to be counted as
// unreadable.  0, or -1 when out of memory.
int
files_find(struct files *files, const char *directory, bool is_stdlib)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "demo: cannot list %s: %s\n", directory,
                strerror(errno));
        return 0; // said aloud; the rest can still be studied
    }
    int result = 0;
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        struct stat st;
        if (result == 0 && !is_skipped(entries[i]->d_name, is_stdlib)) {
            if (asprintf(&path, "%s/%s", directory, entries[i]->d_name) < 0) {
                path = NULL;
                result = -1;
            } else if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                result = files_find(files, path, is_stdlib);
            } else if ((stat(path, &st) == 0 || lstat(path, &st) == 0) &&
                       is_python_source(path, &st)) {
                result = files_add(files, path);
                path = result == 0 ? NULL : path; // the list owns it now
            }
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    return result;
}

// Reads every file once, so that the first of two runs does not pay for a cold
// file cache, and adds up the sizes.
void
files_warm(struct files *files)
{
    static char buffer[1 << 16];
    for (size_t i = 0; i < files->count; i++) {
        int fd = open(files->paths[i], O_RDONLY | O_CLOEXEC);
        ssize_t got = 0;
        while (fd >= 0 && (got = read(fd, buffer, sizeof(buffer))) > 0) {
            files->bytes += (size_t)got;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
}

void
files_free(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->paths[i]);
    }
    free(files->paths);
    *files = (struct files){0};
}

// Returns the figure that follows `key` in a file of /proc, in bytes, or 0.
static size_t
proc_kilobytes(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    char line[256];
    size_t kilobytes = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kilobytes = strtoul(line + strlen(key), NULL, 10);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kilobytes * 1024;
}

// Exact: counts the pages, so it takes longer the more there are.
size_t
resident_bytes(void)
{
    size_t bytes = proc_kilobytes("/proc/self/smaps_rollup", "Rss:");
    return bytes != 0 ? bytes : resident_roughly_bytes();
}

// Cheap: a sum that the kernel keeps in pieces and brings up to date now and
// then.
size_t
resident_roughly_bytes(void)
{
    return proc_kilobytes("/proc/self/status", "VmRSS:");
}

// Not getrusage(): its ru_maxrss survives exec, so that a child would report
// the peak of its parent.
size_t
resident_peak_bytes(void)
{
    return proc_kilobytes("/proc/self/status", "VmHWM:");
}

static double
read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double
wall_clock(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

// Of all threads of the process; disturbed less by other programs.
double
cpu_clock(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}
