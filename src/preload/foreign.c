// foreign.c -- programs of another C library.
//
// Child processes inherit LD_PRELOAD, also those that are linked with musl.
// Its loader takes libc.so.6 for itself, ignores versions, and ends the process
// if any symbol is missing.  So we refer to what musl does not have weakly, and
// find it missing here at the latest; tests/preload/check_symbols.py knows what
// musl has.
//
// In such a program we do nothing at all: not even the arguments of
// constructors are as we know them, and its Python, if it has one, keeps its
// own allocator.

#define _GNU_SOURCE

#include <gnu/libc-version.h>
#include <pthread.h>

#include "preload/preload.h"

extern __typeof__(gnu_get_libc_version) gnu_get_libc_version
    __attribute__((weak));

bool
pim_preload_is_foreign(void)
{
    return gnu_get_libc_version == NULL;
}

// glibc has this function in a static part of itself, which refers to
// __register_atfork() strongly; this one stands in front of it.
typedef void handler(void);
extern int __register_atfork(handler *prepare, handler *parent, handler *child,
                             void *module) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

int
pthread_atfork(handler *prepare, handler *parent, handler *child)
{
    return __register_atfork != NULL
               ? __register_atfork(prepare, parent, child, &__dso_handle)
               : 0;
}
