// team.c -- start and join.

#include "support/team.h"

#include "support/expect.h"

static void *
start(void *arg)
{
    team_member *self = arg;
    self->work(self);
    return NULL;
}

void
team_add(team *t, void (*work)(team_member *self))
{
    EXPECT_LT(t->count, TEAM_MAX);
    team_member *m = &t->members[t->count];
    *m = (team_member){.team = t, .number = t->count, .work = work};
    t->count++;
    EXPECT_EQ(pthread_create(&m->thread, NULL, start, m), 0);
}

void
team_join(team *t)
{
    pim_store_release(&t->stop, true);
    for (unsigned i = 0; i < t->count; i++) {
        EXPECT_EQ(pthread_join(t->members[i].thread, NULL), 0);
    }
    t->count = 0;
    pim_store_relaxed(&t->stop, false);
}

pthread_t
team_start(void *(*work)(void *), void *arg)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, work, arg), 0);
    return thread;
}

void
team_end(pthread_t thread)
{
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

void
team_alone(void *(*work)(void *), void *arg)
{
    team_end(team_start(work, arg));
}
