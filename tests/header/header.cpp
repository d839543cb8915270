// header.cpp -- the public header compiles as strict C++17 and links.

#include <pimalloc/pimalloc.h>

int
main()
{
    return pimalloc_version() == PIMALLOC_VERSION ? 0 : 1;
}
