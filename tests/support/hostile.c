// hostile.c -- a system whose calls all change errno, also those that succeed.
//
// The linker puts these in front of what the core and the tests call
// (PIM_HOSTILE_CALLS in cmake/Tests.cmake), so a door that does not keep errno
// (base/keep_errno.h) shows wherever a test looks at it (domains.c).

#define _GNU_SOURCE

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>

#include "support/hostile.h"

// What a call that fails says stays true.
#define ANSWER(value, fails)                                                   \
    do {                                                                       \
        if (!(fails)) {                                                        \
            errno = HOSTILE_ERRNO;                                             \
        }                                                                      \
        return value;                                                          \
    } while (0)

#define WRAP(type, name, parameters, arguments)                                \
    type __real_##name parameters;                                             \
    type __wrap_##name parameters;                                             \
    type __wrap_##name parameters                                              \
    {                                                                          \
        type answer = __real_##name arguments;                                 \
        ANSWER(answer, answer == (type)-1);                                    \
    }

WRAP(void *, mmap,
     (void *start, size_t bytes, int prot, int flags, int fd, off_t offset),
     (start, bytes, prot, flags, fd, offset))
WRAP(int, munmap, (void *start, size_t bytes), (start, bytes))
WRAP(int, mprotect, (void *start, size_t bytes, int prot), (start, bytes, prot))
WRAP(int, madvise, (void *start, size_t bytes, int advice),
     (start, bytes, advice))
WRAP(int, clock_gettime, (clockid_t clock, struct timespec *now), (clock, now))
WRAP(int, nanosleep, (const struct timespec *time, struct timespec *left),
     (time, left))
WRAP(int, getrlimit, (int which, struct rlimit *limit), (which, limit))
WRAP(long, sysconf, (int name), (name))
WRAP(int, sched_yield, (void), ())
WRAP(int, pthread_setspecific, (unsigned key, const void *value), (key, value))
WRAP(ssize_t, process_vm_readv,
     (pid_t pid, const struct iovec *to, unsigned long n,
      const struct iovec *from, unsigned long m, unsigned long flags),
     (pid, to, n, from, m, flags))
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *block, size_t size), (block, size))

void __real_free(void *block);
void __wrap_free(void *block);

void
__wrap_free(void *block)
{
    __real_free(block);
    errno = HOSTILE_ERRNO;
}

// Those with a varying number of arguments get as many as any caller gives.

void *__real_mremap(void *start, size_t old_bytes, size_t bytes, int flags);
void *__wrap_mremap(void *start, size_t old_bytes, size_t bytes, int flags);

void *
__wrap_mremap(void *start, size_t old_bytes, size_t bytes, int flags)
{
    void *answer = __real_mremap(start, old_bytes, bytes, flags);
    ANSWER(answer, answer == MAP_FAILED);
}

int __real_prctl(int what, ...);
int __wrap_prctl(int what, ...);

int
__wrap_prctl(int what, ...)
{
    va_list more;
    unsigned long a[4];
    va_start(more, what);
    for (int i = 0; i < 4; i++) {
        a[i] = va_arg(more, unsigned long);
    }
    va_end(more);
    int answer = __real_prctl(what, a[0], a[1], a[2], a[3]);
    ANSWER(answer, answer == -1);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long
__wrap_syscall(long number, ...)
{
    va_list more;
    long a[6];
    va_start(more, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(more, long);
    }
    va_end(more);
    long answer = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    ANSWER(answer, answer == -1);
}
