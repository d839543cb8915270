// locks.c -- a program without Python whose threads, plug-ins and forked children
// ask for the locale all the time.  setlocale(LC_CTYPE, NULL) takes no lock in
// libc, so nothing here can wait for anything; a hang ends by SIGALRM.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/patience.h"

#define LOADS 200
#define FORKS 500

// Two places that ask, as in two libraries.
static void *
ask_for_ever(void *arg)
{
    for (;;) {
        setlocale(LC_CTYPE, NULL);
        setlocale(LC_CTYPE, NULL);
    }
    return arg;
}

static int
load_often(const char *plugin)
{
    for (int i = 0; i < LOADS; i++) {
        void *handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
        void *found = handle != NULL ? dlsym(handle, "asks_calls") : NULL;
        int (*calls)(void) = NULL;
        memcpy(&calls, &found, sizeof(found));
        if (calls == NULL || calls() != 1) {
            printf("load %d: the plug-in was not unloaded before\n", i);
            return 1;
        }
        dlclose(handle);
    }
    return 0;
}

static int
fork_often(void)
{
    for (int i = 0; i < FORKS; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(patience());
            _exit(setlocale(LC_CTYPE, NULL) != NULL ? 0 : 1);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0) {
            printf("child %d: status %d\n", i, status);
            return 1;
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    pthread_t thread;
    alarm(patience());
    if (argc != 2 || pthread_create(&thread, NULL, ask_for_ever, NULL) != 0) {
        return 2;
    }
    int failed = load_often(argv[1]) + fork_often();
    puts(failed != 0 ? "failed" : "fine");
    fflush(stdout);
    _exit(failed);
}
