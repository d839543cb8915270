// A pimalloc of the right version that lacks everything else, for
// test_import.py.

#include "pimalloc/pimalloc.h"

int
pimalloc_version(void)
{
    return PIMALLOC_VERSION;
}
