// table.c -- the three PyMemAllocatorEx tables, and the one of arenas.
//
// They are set once per runtime and never swapped: CPython reads function and
// context separately, so a swap under running threads can tear.
//
// PyMem_GetAllocator() takes a lock and, from 3.13 on, may give up the GIL
// while it waits for it.  CPython 3.12 frees that lock at its end, so a thread
// that asks then, without a thread state, posts a lock that is freed.  So it is
// no function to call in a request for memory, nor in a thread that only wants
// to know: there the tables are read where they lie.

#define _GNU_SOURCE

#include "cpython/table.h"

#include <dlfcn.h>
#include <string.h>

#include "base/atomic.h"
#include "cpython/symbols.h"
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

// --- the tables in force ---------------------------------------------------
//
// CPython keeps them in its runtime variable, three in a row.  Where, is found
// by what lies there before ours are set and afterwards.

// Nobody's runtime has them further behind its beginning.
#define SEARCHED_BYTES ((size_t)64 << 10)

static const PyMemAllocatorEx *_Atomic in_force; // NULL: not found
static const void *runtime_of_tables;
static void *on_top[PIM_DOMAINS]; // malloc() of each while nobody else is

#define PLACES_MAX 4

typedef struct table_places {
    const char *at[PLACES_MAX];
    unsigned count;
} table_places;

static bool
are_at(const char *at, const PyMemAllocatorEx *expected)
{
    return memcmp(at, expected, PIM_DOMAINS * sizeof(*expected)) == 0;
}

// Where such tables lie.
static table_places
find_places(const PyMemAllocatorEx *expected)
{
    table_places found = {.count = 0};
    const char *runtime = pim_py.runtime;
    size_t bytes = pim_py.runtime_bytes < SEARCHED_BYTES ? pim_py.runtime_bytes
                                                         : SEARCHED_BYTES;
    for (size_t i = 0; i + PIM_DOMAINS * sizeof(*expected) <= bytes &&
                       found.count < PLACES_MAX;
         i += sizeof(void *)) {
        if (are_at(runtime + i, expected)) {
            found.at[found.count++] = runtime + i;
        }
    }
    return found;
}

// One of the places where ours lie now.
static void
choose_place(const table_places *found)
{
    const char *place = NULL;
    for (unsigned i = 0; i < found->count; i++) {
        if (are_at(found->at[i], tables)) {
            place = found->at[i];
        }
    }
    runtime_of_tables = pim_py.runtime;
    pim_store_release(&in_force, (const PyMemAllocatorEx *)(const void *)place);
    pim_table_note_hooks();
}

// A word at a time: somebody may be setting it.  False: it was not found.
static bool
read_in_force(unsigned domain, PyMemAllocatorEx *out)
{
    const PyMemAllocatorEx *tables_now = pim_load_acquire(&in_force);
    void *const *from = (void *const *)(const void *)(tables_now + domain);
    void **to = (void **)out;
    for (size_t i = 0; tables_now != NULL && i < sizeof(*out) / sizeof(*to);
         i++) {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
    return tables_now != NULL;
}

bool
pim_table_read_raw(PyMemAllocatorEx *out)
{
    return read_in_force(PIM_RAW, out);
}

static void *
malloc_of(const PyMemAllocatorEx *table)
{
    return (void *)(uintptr_t)table->malloc;
}

void
pim_table_note_hooks(void)
{
    PyMemAllocatorEx now;
    for (unsigned d = 0; d < PIM_DOMAINS && read_in_force(d, &now); d++) {
        on_top[d] = malloc_of(&now);
    }
}

bool
pim_table_is_wrapped(void)
{
    PyMemAllocatorEx now;
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        if (!read_in_force(d, &now) || malloc_of(&now) != on_top[d]) {
            return true;
        }
    }
    return false;
}

// --- whose tables they are -------------------------------------------------

static bool
has_functions_of(const PyMemAllocatorEx *a, const PyMemAllocatorEx *b)
{
    return a->malloc == b->malloc && a->calloc == b->calloc &&
           a->realloc == b->realloc && a->free == b->free;
}

// Two equal readings in a row: most likely nobody was setting it in between.
// Another runtime than the one that has our tables is asked.
static PyMemAllocatorEx
read_steady(unsigned domain)
{
    PyMemAllocatorEx before;
    PyMemAllocatorEx now;
    if (pim_py.runtime != runtime_of_tables || !read_in_force(domain, &now)) {
        return table_now(domain);
    }
    do {
        before = now;
        read_in_force(domain, &now);
    } while (!has_functions_of(&before, &now));
    return now;
}

static bool
tables_are(const PyMemAllocatorEx *expected)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        PyMemAllocatorEx now = read_steady(d);
        if (!has_functions_of(&now, &expected[d])) {
            return false;
        }
    }
    return true;
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

// Whose arenas are not Python's own has reasons for it and is left alone: then
// frame stacks are neither counted nor limited.  In a program that has Python
// and us linked in nobody can tell.
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
    bool is_told = python != module_of((uintptr_t)pim_stack_alloc);
    if (python != NULL && is_told &&
        module_of((uintptr_t)now.alloc) == python) {
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
    }
    table_places places = find_places(replaced);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        pim_py.set_allocator((PyMemAllocatorDomain)d, &tables[d]);
    }
    choose_place(&places);
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
