// crowd.c -- see crowd.h.

#include "support/crowd.h"

#include <stdatomic.h>

#include "support/embed.h"

static pthread_t members[CROWD_MAX];
static int count_of_members;
static atomic_int at_work;
static atomic_bool stops;

void
crowd_add(void *(*run)(void *), int count)
{
    for (int i = 0; i < count; i++) {
        EXPECT(count_of_members < CROWD_MAX);
        members[count_of_members] =
            embed_thread(run, (void *)(uintptr_t)count_of_members);
        count_of_members++;
    }
}

void
crowd_join(void)
{
    for (int i = 0; i < count_of_members; i++) {
        embed_join(members[i]);
    }
    count_of_members = 0;
}

void
crowd_run(void *(*run)(void *), int count)
{
    PyThreadState *outer = PyEval_SaveThread();
    crowd_add(run, count);
    crowd_join();
    PyEval_RestoreThread(outer);
}

void
crowd_is_at_work(void)
{
    atomic_fetch_add(&at_work, 1);
}

bool
crowd_stops(void)
{
    return atomic_load(&stops);
}

void
crowd_wait(void)
{
    while (atomic_load(&at_work) < count_of_members) {
        embed_sleep_ms(1);
    }
}

void
crowd_stop(void)
{
    atomic_store(&stops, true);
    crowd_join();
}
