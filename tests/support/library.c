// library.c -- finding it as src/mi/mi.c does.

#define _GNU_SOURCE

#include "support/library.h"

#include <string.h>
#include <unistd.h>

#include "support/expect.h"

void
library_path(char path[PATH_MAX])
{
    static const char name[] = "/pimalloc/libmimalloc.so.3";
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(name));
    EXPECT_GT(n, 0);
    path[n] = '\0';
    strcpy(strrchr(path, '/'), name);
}
