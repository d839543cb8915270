// free_threaded.c -- what a libpython without a GIL looks like to those who ask:
// the functions that pimalloc wants, and one that only such builds have.
//
// start_runtime() does what the start of a runtime does: it asks for the locale.

#define _GNU_SOURCE

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct table {
    void *ctx;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} table;

static void *
own_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void *
own_calloc(void *ctx, size_t n, size_t size)
{
    (void)ctx;
    return calloc(n, size);
}

static void *
own_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc(block, size);
}

static void
own_free(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static table tables[3] = {
    {NULL, own_malloc, own_calloc, own_realloc, own_free},
    {NULL, own_malloc, own_calloc, own_realloc, own_free},
    {NULL, own_malloc, own_calloc, own_realloc, own_free},
};
static int tables_set;

EXPORT const unsigned long Py_Version = 0x030d00f0;

EXPORT void PyMem_SetAllocator(int domain, table *allocator);
EXPORT void PyMem_GetAllocator(int domain, table *allocator);
EXPORT int Py_IsInitialized(void);
EXPORT const char *Py_GetVersion(void);
EXPORT int64_t PyInterpreterState_GetID(void *interp);
EXPORT void *PyInterpreterState_Main(void);
EXPORT void *PyThreadState_GetInterpreter(void *tstate);
EXPORT void *PyThreadState_GetUnchecked(void);
EXPORT void _Py_MergeZeroLocalRefcount(void *object);
EXPORT int start_runtime(void);

void
PyMem_SetAllocator(int domain, table *allocator)
{
    tables_set++;
    tables[domain] = *allocator;
}

void
PyMem_GetAllocator(int domain, table *allocator)
{
    *allocator = tables[domain];
}

int
Py_IsInitialized(void)
{
    return 0;
}

const char *
Py_GetVersion(void)
{
    return "3.13.0 (main)";
}

int64_t
PyInterpreterState_GetID(void *interp)
{
    (void)interp;
    return 0;
}

void *
PyInterpreterState_Main(void)
{
    return NULL;
}

void *
PyThreadState_GetInterpreter(void *tstate)
{
    return tstate;
}

void *
PyThreadState_GetUnchecked(void)
{
    return NULL;
}

void
_Py_MergeZeroLocalRefcount(void *object)
{
    (void)object;
}

// How often an allocator was set.
int
start_runtime(void)
{
    const char *locale = setlocale(LC_CTYPE, NULL);
    return locale == NULL ? -1 : tables_set;
}
