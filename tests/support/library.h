// library.h -- the libmimalloc beside the test programs.

#ifndef PIM_TESTS_LIBRARY_H
#define PIM_TESTS_LIBRARY_H

#include <limits.h>

void library_path(char path[PATH_MAX]);

#endif // PIM_TESTS_LIBRARY_H
