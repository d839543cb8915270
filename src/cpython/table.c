// table.c -- the three PyMemAllocatorEx tables.
//
// They are set once per runtime and never swapped: CPython reads function and
// context separately, so a swap under running threads can tear.
//
// PyMem_GetAllocator() takes a lock and, from 3.13 on, may give up the GIL while it
// waits for it.  So it is no function to call in a request for memory.  Where the
// tables lie is found when ours are set: at the only place in CPython's runtime state,
// which is exported, that holds ours one after the other.

#define _GNU_SOURCE

#include "cpython/table.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "base/atomic.h"
#include "cpython/api.h"
#include "domain/check.h"

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
static PyMemAllocatorEx *_Atomic raw_in_force; // CPython's own; NULL: not found

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

// Weak: not every C library has it (preload/foreign.c).
extern __typeof__(dladdr1) dladdr1 __attribute__((weak));

// Where CPython has the three tables that are set now; NULL: not known.
static PyMemAllocatorEx *
find_tables(void)
{
    const size_t bytes = PIM_DOMAINS * sizeof(PyMemAllocatorEx);
    const ElfW(Sym) *symbol = NULL;
    Dl_info info;
    void *module = pim_py.module != NULL ? pim_py.module : RTLD_DEFAULT;
    char *runtime = dlsym(module, "_PyRuntime");
    if (runtime == NULL || dladdr1 == NULL ||
        dladdr1(runtime, &info, (void **)(uintptr_t)&symbol, RTLD_DL_SYMENT) ==
            0 ||
        symbol == NULL || info.dli_saddr != runtime) {
        return NULL;
    }
    for (size_t at = 0; at + bytes <= symbol->st_size; at += sizeof(void *)) {
        if (memcmp(runtime + at, tables, bytes) == 0) {
            return (PyMemAllocatorEx *)(void *)(runtime + at);
        }
    }
    return NULL;
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
    pim_store_release(&raw_in_force, find_tables());
}

static bool
has_functions_of(const PyMemAllocatorEx *a, const PyMemAllocatorEx *b)
{
    return a->malloc == b->malloc && a->calloc == b->calloc &&
           a->realloc == b->realloc && a->free == b->free;
}

static bool
tables_are(const PyMemAllocatorEx *expected)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        PyMemAllocatorEx now = table_now(d);
        if (!has_functions_of(&now, &expected[d])) {
            return false;
        }
    }
    return true;
}

// A word at a time: somebody may be setting it.
bool
pim_table_read_raw(PyMemAllocatorEx *out)
{
    void **from = (void **)pim_load_acquire(&raw_in_force);
    void **to = (void **)out;
    for (size_t i = 0; from != NULL && i < sizeof(*out) / sizeof(*to); i++) {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
    return from != NULL;
}

bool
pim_table_is_our_raw(const PyMemAllocatorEx *raw)
{
    return has_functions_of(raw, &tables[PIM_RAW]);
}

// CPython's debug layer has a context, and may be in front of us by now.
bool
pim_table_is_pythons_raw(const PyMemAllocatorEx *raw)
{
    return raw->ctx == NULL && replaced[PIM_RAW].ctx == NULL &&
           has_functions_of(raw, &replaced[PIM_RAW]);
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
