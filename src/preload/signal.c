// signal.c -- figures on a signal (PIMALLOC_STATS_SIGNAL).
//
//   signal -> handler: sem_post -> thread of ours: sem_wait, tell the figures
//
// A handler may do next to nothing, so a thread waits for it.  There is none
// unless the option is set.  A forked child gets a thread of its own.

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "platform/say.h"
#include "platform/worker.h"
#include "preload/preload.h"

#define STACK_BYTES ((size_t)256 << 10)

static sem_t asked;

static void
on_signal(int number)
{
    int saved = errno;
    (void)number;
    sem_post(&asked);
    errno = saved;
}

static void *
wait_and_tell(void *arg)
{
    (void)arg;
    for (;;) {
        if (sem_wait(&asked) == 0) {
            pim_preload_tell_figures();
        }
    }
    return NULL;
}

static int
start_thread(void)
{
    pthread_t thread;
    int err =
        pim_worker_start(&thread, "pimalloc-stats", STACK_BYTES, wait_and_tell);
    return err == 0 ? -pthread_detach(thread) : err;
}

static void
start_in_child(void)
{
    sem_init(&asked, 0, 0); // what was asked of the parent is not for us
    start_thread();
}

void
pim_preload_watch_signal(void)
{
    static bool watching;
    int number = pim_preload_options.stats_signal;
    if (number == 0 || watching) {
        return;
    }
    struct sigaction before;
    if (sigaction(number, NULL, &before) != 0 || before.sa_handler != SIG_DFL) {
        pim_say("pimalloc: %s handles or ignores the signal of "
                "PIMALLOC_STATS_SIGNAL itself; choose another one\n",
                program_invocation_short_name);
        return;
    }
    sem_init(&asked, 0, 0);
    int err = start_thread();
    if (err != 0) {
        pim_say("pimalloc: no thread for PIMALLOC_STATS_SIGNAL: %s; the "
                "signal keeps its meaning\n",
                strerror(-err));
        return;
    }
    watching = true;
    pthread_atfork(NULL, NULL, start_in_child);
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}
