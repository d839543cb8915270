// team.h -- threads that are started together and joined together.

#ifndef PIM_TESTS_TEAM_H
#define PIM_TESTS_TEAM_H

#include <pthread.h>
#include <sched.h>

#include "base/atomic.h"
#include "support/tsan.h"

#define TEAM_MAX 8

// How often a round is repeated: fewer times where each takes longer.
#if PIM_TSAN
#    define TEAM_ROUNDS(n) ((n) / 6 + 1)
#elif defined(__SANITIZE_ADDRESS__)
#    define TEAM_ROUNDS(n) ((n) / 5 + 1)
#else
#    define TEAM_ROUNDS(n) (n)
#endif

typedef struct team team;

typedef struct team_member {
    team *team;
    unsigned number; // 0, 1, 2 ... in order of team_add()
    void (*work)(struct team_member *self);
    pthread_t thread;
} team_member;

struct team {
    team_member members[TEAM_MAX];
    unsigned count;
    _Atomic bool stop; // asks those to end that work until told
};

// Starts a thread.
void team_add(team *t, void (*work)(team_member *self));

// Asks all to stop, and waits for them.
void team_join(team *t);

// A thread by itself; team_alone() waits for its end.
pthread_t team_start(void *(*work)(void *), void *arg);
void team_end(pthread_t thread);
void team_alone(void *(*work)(void *), void *arg);

// Waits until another thread sets it.
static inline void
wait_for(const _Atomic bool *flag)
{
    while (!pim_load_acquire(flag)) {
        sched_yield();
    }
}

static inline bool
team_stops(const team_member *self)
{
    return pim_load_acquire(&self->team->stop);
}

#endif // PIM_TESTS_TEAM_H
