// worker.c -- see worker.h.

#define _GNU_SOURCE

#include "platform/worker.h"

#include <signal.h>

int
pim_worker_start(pthread_t *out, const char *name, size_t stack_bytes,
                 void *(*run)(void *))
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(out, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (err == 0) {
        pthread_setname_np(*out, name);
    }
    return -err;
}
