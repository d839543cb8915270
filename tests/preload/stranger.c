// stranger.c -- a program that never has Python, and what it may notice.
//
// It does what programs do around setlocale() and dlerror(), and prints the
// results, which must be the same with and without the preload library.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char missing[] = "/nonexistent/library.so";
static char before_main[256];

static void
note(const char *when)
{
    const char *error = dlerror();
    printf("%s: %s\n", when, error != NULL ? error : "no error");
}

__attribute__((constructor)) static void
start(void)
{
    snprintf(before_main, sizeof(before_main), "%s %s",
             setlocale(LC_CTYPE, NULL), setlocale(LC_ALL, NULL));
}

static void *
ask(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        if (setlocale(LC_CTYPE, NULL) == NULL) {
            abort();
        }
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[4];
    note("at start");
    printf("before main: %s\n", before_main);
    dlopen(missing, RTLD_NOW);
    printf("set: %s\n", setlocale(LC_ALL, "C.UTF-8"));
    note("after setting the locale");
    dlopen(missing, RTLD_NOW);
    printf("is: %s\n", setlocale(LC_CTYPE, NULL));
    note("after asking for the locale");
    errno = ENOTTY;
    setlocale(LC_CTYPE, NULL);
    printf("errno: %s\n", strerror(errno));
    printf("unknown: %s\n", setlocale(LC_ALL, "xx_XX") == NULL ? "no" : "yes");
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, ask, NULL);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    note("after threads");
    return 7;
}
