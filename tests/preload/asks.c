// asks.c -- a plug-in that asks for the locale while it is loaded, in a thread for
// which its constructor waits: with the loader's lock held.

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

static int calls;

__attribute__((visibility("default"))) int asks_calls(void);

// 1 at the first call after each loading, if the plug-in was really unloaded.
int
asks_calls(void)
{
    return ++calls;
}

static void *
ask(void *arg)
{
    if (setlocale(LC_CTYPE, NULL) == NULL) {
        abort();
    }
    return arg;
}

__attribute__((constructor)) static void
load(void)
{
    pthread_t thread;
    ask(NULL);
    if (pthread_create(&thread, NULL, ask, NULL) != 0 ||
        pthread_join(thread, NULL) != 0) {
        abort();
    }
}
