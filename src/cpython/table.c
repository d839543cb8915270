// table.c -- the three PyMemAllocatorEx tables, and the one of arenas.
//
// They are set once per runtime and never swapped: CPython reads function and
// context separately, so a swap under running threads can tear.

#define _GNU_SOURCE

#include "cpython/table.h"

#include <dlfcn.h>

#include "cpython/api.h"
#include "domain/check.h"
#include "domain/stack.h"

static PyMemAllocatorEx plain_tables[PIM_DOMAINS] = {
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

static PyMemAllocatorEx checked_tables[PIM_DOMAINS];
static PyMemAllocatorEx *tables = plain_tables; // the one or the other
static PyMemAllocatorEx replaced[PIM_DOMAINS];

static PyMemAllocatorEx
table_now(unsigned domain)
{
    PyMemAllocatorEx now;
    pim_py.get_allocator((PyMemAllocatorDomain)domain, &now);
    return now;
}

pim_raw_table
pim_table_replaced_raw(void)
{
    PyMemAllocatorEx raw = table_now(PIM_RAW);
    return (pim_raw_table){raw.ctx, raw.realloc, raw.free};
}

static void
choose_checked(void)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        checked_tables[d] = (PyMemAllocatorEx){
            pim_check_context(d), pim_check_malloc, pim_check_calloc,
            pim_check_realloc, pim_check_free};
    }
    tables = checked_tables;
}

static bool
tables_are(const PyMemAllocatorEx *expected)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        PyMemAllocatorEx now = table_now(d);
        const PyMemAllocatorEx *want = &expected[d];
        if (now.malloc != want->malloc || now.calloc != want->calloc ||
            now.realloc != want->realloc || now.free != want->free) {
            return false;
        }
    }
    return true;
}

bool
pim_table_is_installed(void)
{
    return tables_are(tables);
}

bool
pim_table_was_reset(void)
{
    return tables_are(replaced);
}

// The module that a function is in; NULL if the loader knows none.
static const void *
module_of(uintptr_t function)
{
    Dl_info info;
    return dladdr((void *)function, &info) != 0 ? info.dli_fbase : NULL;
}

// Whose arenas are not Python's own has reasons for it and is left alone: then frame
// stacks are neither counted nor limited.
static void
install_arenas(void)
{
    PyObjectArenaAllocator now;
    PyObjectArenaAllocator ours = {NULL, pim_stack_alloc, pim_stack_free};
    if (pim_py.get_arena_allocator == NULL ||
        pim_py.set_arena_allocator == NULL) {
        return;
    }
    pim_py.get_arena_allocator(&now);
    const void *python = module_of((uintptr_t)pim_py.set_allocator);
    if (python != NULL && module_of((uintptr_t)now.alloc) == python) {
        pim_stack_set_source((pim_stack_source){now.ctx, now.alloc, now.free});
        pim_py.set_arena_allocator(&ours);
    }
}

void
pim_table_install(void)
{
    if (pim_check_is_on()) {
        choose_checked();
    }
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        replaced[d] = table_now(d);
        pim_py.set_allocator((PyMemAllocatorDomain)d, &tables[d]);
    }
    install_arenas();
}

bool
pim_table_is_pythons_own(const pim_py_api *py)
{
    const void *python = module_of((uintptr_t)py->set_allocator);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        PyMemAllocatorEx now;
        py->get_allocator((PyMemAllocatorDomain)d, &now);
        if (python == NULL || module_of((uintptr_t)now.malloc) != python ||
            module_of((uintptr_t)now.free) != python) {
            return false;
        }
    }
    return true;
}
