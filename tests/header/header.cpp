// header.cpp -- the public headers compile as strict C++17 and link.

#include <pimalloc/hooks.h>
#include <pimalloc/pimalloc.h>
#include <pimalloc/tenants.h>
#include <pimalloc/trace.h>

int
main()
{
    int err = pimalloc_limit_set(PIMALLOC_EACH, 2, 1, nullptr, nullptr);
    return pimalloc_version() == PIMALLOC_VERSION &&
                   pimalloc_walk(PIMALLOC_PROCESS, nullptr, nullptr) < 0 &&
                   pimalloc_trace_start(PIMALLOC_EACH, 0) < 0 &&
                   pimalloc_hook_pop(1) < 0 && err != 0
               ? 0
               : 1;
}
