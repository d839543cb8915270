// crowd.h -- threads that are started together and joined together.

#ifndef PIM_TESTS_EMBED_CROWD_H
#define PIM_TESTS_EMBED_CROWD_H

#include <stdbool.h>

#define CROWD_MAX 150

// Adds threads, each of which gets its number in the crowd.
void crowd_add(void *(*run)(void *), int count);

// Waits for their end.  Their GILs are the caller's to give up.
void crowd_join(void);

// Adds threads and waits for their end, without the caller's GIL.
void crowd_run(void *(*run)(void *), int count);

// For those that work until they are told to stop: in a thread, that it is at it,
// and whether it is to stop.
void crowd_is_at_work(void);
bool crowd_stops(void);

// Waits until all are at it; stops and joins all.
void crowd_wait(void);
void crowd_stop(void);

#endif // PIM_TESTS_EMBED_CROWD_H
