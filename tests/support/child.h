// child.h -- a child process, its end, and what a sandbox forbids it.

#ifndef PIM_TESTS_CHILD_H
#define PIM_TESTS_CHILD_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_IS_LOST (-1000)

// Waits for it.  Returns its exit status, or minus the signal that ended it.
static inline int
child_outcome(pid_t child)
{
    int status = 0;
    pid_t got;
    do {
        got = waitpid(child, &status, 0);
    } while (got < 0 && errno == EINTR);
    return child < 0 || got != child ? CHILD_IS_LOST
           : WIFEXITED(status)       ? WEXITSTATUS(status)
                                     : -WTERMSIG(status);
}

// Runs `body` in a child, and keeps the beginning of what it writes to stderr.
static inline int
child_run(void (*body)(void *), void *arg, char *text, size_t size)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) {
        return CHILD_IS_LOST;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        body(arg);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t n;
    char rest[256];
    while ((n = length + 1 < size
                    ? read(ends[0], text + length, size - 1 - length)
                    : read(ends[0], rest, sizeof(rest))) > 0) {
        length += length + 1 < size ? (size_t)n : 0;
    }
    text[length] = '\0';
    close(ends[0]);
    return child_outcome(child);
}

// Forbids membarrier from now on, in all threads.  False: the system has no filters.
static inline bool
child_forbid_membarrier(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

#endif // PIM_TESTS_CHILD_H
