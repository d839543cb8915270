// header.cpp -- the public headers compile as strict C++17 and link.

#include <pimalloc/pimalloc.h>
#include <pimalloc/tenants.h>

int
main()
{
    return pimalloc_version() == PIMALLOC_VERSION &&
                   pimalloc_walk(PIMALLOC_PROCESS, nullptr, nullptr) < 0
               ? 0
               : 1;
}
