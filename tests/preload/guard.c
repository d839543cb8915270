// guard.c -- stands before libc's free() and realloc() and ends the process if a
// block of pimalloc's comes there.
//
// Preloaded together with pimalloc; libc would often notice, but not always.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pimalloc/pimalloc.h"

#define VISIBLE __attribute__((visibility("default")))

static __typeof__(pimalloc_owner) *owner;
static __typeof__(free) *next_free;
static __typeof__(realloc) *next_realloc;

__attribute__((constructor)) static void
start(void)
{
    next_free = (__typeof__(free) *)(uintptr_t)dlsym(RTLD_NEXT, "free");
    next_realloc =
        (__typeof__(realloc) *)(uintptr_t)dlsym(RTLD_NEXT, "realloc");
    owner = (__typeof__(pimalloc_owner) *)(uintptr_t)dlsym(RTLD_DEFAULT,
                                                           "pimalloc_owner");
}

static void
expect_not_ours(const void *block)
{
    static const char text[] = "guard: a block of pimalloc's reached libc\n";
    int64_t interp;
    if (owner != NULL && block != NULL && owner(block, &interp) == 0) {
        if (write(STDERR_FILENO, text, strlen(text)) >= 0) {
            abort();
        }
        abort();
    }
}

VISIBLE void
free(void *block)
{
    expect_not_ours(block);
    if (next_free == NULL) {
        return; // before our constructor: a few bytes of the loader's
    }
    next_free(block);
}

VISIBLE void *
realloc(void *block, size_t size)
{
    expect_not_ours(block);
    if (next_realloc == NULL) {
        next_realloc =
            (__typeof__(realloc) *)(uintptr_t)dlsym(RTLD_NEXT, "realloc");
    }
    return next_realloc(block, size);
}
