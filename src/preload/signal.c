// signal.c -- figures and a profile on a signal (PIMALLOC_STATS_SIGNAL), the
// profile also every so often (PIMALLOC_PROFILE_EVERY).
//
//   signal -> handler: sem_post -> thread of ours: sem_wait, tell
//
// A handler may do next to nothing, so a thread waits for it.  There is none
// unless one of the options is set.  A forked child gets a thread of its own.

#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <time.h>

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

// Who asked for a profile and for no figures gets none.
static void
tell_all(void)
{
    const pim_options *o = &pim_preload_options;
    if (o->stats_format >= 0 || o->profile_format < 0) {
        pim_preload_tell_figures();
    }
    pim_preload_write_profile();
}

static void *
wait_and_tell(void *arg)
{
    unsigned seconds = pim_preload_options.profile_seconds;
    struct timespec turn;
    (void)arg;
    clock_gettime(CLOCK_REALTIME, &turn);
    turn.tv_sec += seconds;
    for (;;) {
        if ((seconds != 0 ? sem_timedwait(&asked, &turn) : sem_wait(&asked)) ==
            0) {
            tell_all();
        } else if (errno == ETIMEDOUT) {
            pim_preload_write_profile();
            clock_gettime(CLOCK_REALTIME, &turn);
            turn.tv_sec += seconds;
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

// Whether the signal may be taken; 0: there is none.
static bool
is_free(int number)
{
    struct sigaction before;
    if (number == 0 || (sigaction(number, NULL, &before) == 0 &&
                        before.sa_handler == SIG_DFL)) {
        return true;
    }
    pim_say("pimalloc: %s handles or ignores the signal of "
            "PIMALLOC_STATS_SIGNAL itself; choose another one\n",
            program_invocation_short_name);
    return false;
}

void
pim_preload_watch_signal(void)
{
    static bool watching;
    const pim_options *o = &pim_preload_options;
    bool every = o->profile_format >= 0 && o->profile_seconds != 0;
    if (watching || (o->stats_signal == 0 && !every)) {
        return;
    }
    int number = is_free(o->stats_signal) ? o->stats_signal : 0;
    if (number == 0 && !every) {
        return;
    }
    sem_init(&asked, 0, 0);
    int err = start_thread();
    if (err != 0) {
        pim_say("pimalloc: no thread for %s: %s; the signal keeps its "
                "meaning\n",
                number != 0 ? "PIMALLOC_STATS_SIGNAL"
                            : "PIMALLOC_PROFILE_EVERY",
                strerror(-err));
        return;
    }
    watching = true;
    pthread_atfork(NULL, NULL, start_in_child);
    if (number == 0) {
        return;
    }
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}
