// threads_linux.c -- threads.h on Linux.

#define _GNU_SOURCE

#include "platform/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/keep_errno.h"

// Room for /proc/PID/task/TID/stat up to the state: a number, a name in
// parentheses of at most 15 bytes, and a letter.
#define STAT_BYTES 64

int
pim_thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

int
pim_process_id(void)
{
    return (int)syscall(SYS_getpid);
}

bool
pim_thread_is_gone(int id)
{
    PIM_KEEP_ERRNO;
    return syscall(SYS_tgkill, pim_process_id(), id, 0) != 0 && errno == ESRCH;
}

// How many bytes of a small file were read; 0: none.
static size_t
read_start(const char *path, char *text, size_t size)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    long n = syscall(SYS_read, fd, text, size);
    syscall(SYS_close, fd);
    return n > 0 ? (size_t)n : 0;
}

bool
pim_thread_sleeps(int id)
{
    PIM_KEEP_ERRNO;
    char path[64];
    char text[STAT_BYTES];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", id);
    size_t n = read_start(path, text, sizeof(text) - 1);
    text[n] = '\0';
    const char *name_end = strrchr(text, ')'); // the name may have some, too
    return name_end != NULL && strncmp(name_end, ") S", 3) == 0;
}

uint64_t
pim_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t
pim_real_time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void
pim_sleep_us(unsigned us)
{
    PIM_KEEP_ERRNO;
    const struct timespec time = {.tv_sec = us / 1000000,
                                  .tv_nsec = (long)(us % 1000000) * 1000};
    if (syscall(SYS_nanosleep, &time, NULL) != 0 && errno != EINTR) {
        sched_yield(); // a filter forbids it
    }
}

bool
pim_word_wait(_Atomic uint32_t *word, uint32_t value, unsigned ms)
{
    PIM_KEEP_ERRNO;
    const struct timespec time = {.tv_sec = ms / 1000,
                                  .tv_nsec = (long)(ms % 1000) * 1000000};
    bool over = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &time, NULL,
                        0) != 0 &&
                errno != EAGAIN && errno != EINTR;
    if (over && errno != ETIMEDOUT) {
        pim_sleep_us(ms * 1000);
    }
    return over;
}

void
pim_word_wake(_Atomic uint32_t *word)
{
    PIM_KEEP_ERRNO;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
