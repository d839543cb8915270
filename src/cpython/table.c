// table.c -- the three PyMemAllocatorEx tables.
//
// They are set once per runtime and never swapped: CPython reads function and
// context separately, so a swap under running threads can tear.

#include "cpython/table.h"

#include "cpython/api.h"

static PyMemAllocatorEx tables[PIM_DOMAINS] = {
    [PIM_RAW] = {NULL, pim_raw_malloc, pim_raw_calloc, pim_raw_realloc,
                 pim_raw_free},
    [PIM_MEM] = {NULL, pim_mem_malloc, pim_mem_calloc, pim_mem_realloc,
                 pim_mem_free},
    [PIM_OBJ] = {NULL, pim_obj_malloc, pim_obj_calloc, pim_obj_realloc,
                 pim_obj_free},
};

_Static_assert(PIM_RAW == (int)PYMEM_DOMAIN_RAW &&
                   PIM_MEM == (int)PYMEM_DOMAIN_MEM &&
                   PIM_OBJ == (int)PYMEM_DOMAIN_OBJ,
               "our domains are numbered like CPython's");

pim_raw_table
pim_table_replaced_raw(void)
{
    PyMemAllocatorEx raw;
    pim_py.get_allocator(PYMEM_DOMAIN_RAW, &raw);
    return (pim_raw_table){raw.ctx, raw.realloc, raw.free};
}

void
pim_table_install(void)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        pim_py.set_allocator((PyMemAllocatorDomain)d, &tables[d]);
    }
}

bool
pim_table_is_installed(void)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        PyMemAllocatorEx now;
        pim_py.get_allocator((PyMemAllocatorDomain)d, &now);
        if (now.malloc != tables[d].malloc || now.calloc != tables[d].calloc ||
            now.realloc != tables[d].realloc || now.free != tables[d].free) {
            return false;
        }
    }
    return true;
}
