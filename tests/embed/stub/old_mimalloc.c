// old_mimalloc.c -- what a libmimalloc of another version looks like to the
// loader: a library with an mi_version() of our choice and nothing else.

#include <stdlib.h>

int mi_version(void);

__attribute__((visibility("default"))) int
mi_version(void)
{
    const char *version = getenv("STUB_MI_VERSION");
    return version != NULL ? atoi(version) : 0;
}
