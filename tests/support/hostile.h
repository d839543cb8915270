// hostile.h -- what errno is after any call of the system in the core's tests.

#ifndef PIM_TESTS_HOSTILE_H
#define PIM_TESTS_HOSTILE_H

#include <errno.h>

#define HOSTILE_ERRNO ENOANO // nobody else's

#endif // PIM_TESTS_HOSTILE_H
