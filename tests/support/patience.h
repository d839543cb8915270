// patience.h -- time in tests: how long to wait, and how long to go on.
//
// A test must pass on the busiest machine.  So what hangs is ended after a time
// that says nothing about speed, and what is repeated for its chances is repeated
// as long as there is time.  Both can be set in the environment.

#ifndef PIM_TESTS_PATIENCE_H
#define PIM_TESTS_PATIENCE_H

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_SECONDS 300 // or PIM_TEST_PATIENCE
#define BUDGET_SECONDS 10    // or PIM_TEST_BUDGET

static inline unsigned
patience_from(const char *variable, unsigned otherwise)
{
    const char *given = getenv(variable);
    return given != NULL ? (unsigned)atoi(given) : otherwise;
}

// How long something may take that takes a moment, for alarm(2).
static inline unsigned
patience(void)
{
    return patience_from("PIM_TEST_PATIENCE", PATIENCE_SECONDS);
}

// Until when a loop goes on that would go on for so many rounds.
typedef struct budget {
    struct timespec end;
} budget;

static inline budget
budget_open(void)
{
    budget b;
    clock_gettime(CLOCK_MONOTONIC, &b.end);
    b.end.tv_sec += patience_from("PIM_TEST_BUDGET", BUDGET_SECONDS);
    return b;
}

static inline bool
budget_is_left(const budget *b)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < b->end.tv_sec ||
           (now.tv_sec == b->end.tv_sec && now.tv_nsec < b->end.tv_nsec);
}

#endif // PIM_TESTS_PATIENCE_H
