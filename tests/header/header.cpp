// header.cpp -- the public headers compile as strict C++17 and link.

#include <pimalloc/tenants.h>

int
main()
{
    return pimalloc_version() == PIMALLOC_VERSION &&
                   pimalloc_classes(PIMALLOC_PROCESS, PIMALLOC_OBJ, nullptr,
                                    0) < 0
               ? 0
               : 1;
}
