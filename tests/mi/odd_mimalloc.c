// odd_mimalloc.c -- a library with all the names that pimalloc needs of a mimalloc,
// which works but for the fault named in STUB_MI_FAULT.

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define CLASS ((size_t)128)

int mi_version(void);
void *mi_umalloc(size_t size, size_t *bytes);
void *mi_ucalloc(size_t count, size_t size, size_t *bytes);
void *mi_urealloc(void *block, size_t size, size_t *before, size_t *after);
void mi_ufree(void *block, size_t *bytes);
size_t mi_usable_size(const void *block);
bool mi_any_heap_contains(const void *address);
void mi_arenas_purge(void);
void *mi_theap_get_default(void);

static _Alignas(16) char space[64 * CLASS];
static size_t used;

static bool
has(const char *fault)
{
    const char *wanted = getenv("STUB_MI_FAULT");
    return wanted != NULL && strcmp(wanted, fault) == 0;
}

EXPORT int
mi_version(void)
{
    const char *version = getenv("STUB_MI_VERSION");
    return version != NULL ? atoi(version) : 30999;
}

EXPORT void *
mi_umalloc(size_t size, size_t *bytes)
{
    if (has("memory") || size > CLASS || used + CLASS > sizeof(space)) {
        return NULL;
    }
    char *block = space + used + (has("alignment") ? 8 : 0);
    used += CLASS;
    memset(block, 'd', size);
    if (!has("size")) {
        *bytes = CLASS;
    }
    return block;
}

EXPORT void *
mi_ucalloc(size_t count, size_t size, size_t *bytes)
{
    char *block = mi_umalloc(count * size, bytes);
    return block == NULL || has("zero") ? block
                                        : memset(block, 0, count * size);
}

EXPORT void *
mi_urealloc(void *block, size_t size, size_t *before, size_t *after)
{
    void *moved = mi_umalloc(size, after);
    if (moved != NULL && !has("content")) {
        memcpy(moved, block, CLASS);
    }
    *before = has("before") ? 0 : CLASS;
    return moved;
}

EXPORT void
mi_ufree(void *block, size_t *bytes)
{
    (void)block;
    if (!has("free")) {
        *bytes = CLASS;
    }
}

EXPORT size_t
mi_usable_size(const void *block)
{
    (void)block;
    return has("usable") ? CLASS - 1 : CLASS;
}

EXPORT bool
mi_any_heap_contains(const void *address)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)space;
    return has("own") ? false : has("strange") || offset < sizeof(space);
}

EXPORT void
mi_arenas_purge(void)
{
}

EXPORT void *
mi_theap_get_default(void)
{
    return NULL;
}
