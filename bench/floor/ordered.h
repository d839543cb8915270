// ordered.h -- a floor that keeps the order of blocks.

#ifndef PIM_BENCH_ORDERED_H
#define PIM_BENCH_ORDERED_H

#include <stddef.h>

// The largest block that it serves itself; larger ones are libc's.
#ifndef ORDERED_LARGEST
#    define ORDERED_LARGEST ((size_t)4096)
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Before all else; 0, or -1 if there is no address space for it.
int ordered_reserve(void);

// The functions of a table; ctx is not looked at.
void *ordered_malloc(void *ctx, size_t size);
void *ordered_calloc(void *ctx, size_t count, size_t size);
void *ordered_realloc(void *ctx, void *address, size_t size);
void ordered_free(void *ctx, void *address);

#ifdef __cplusplus
}
#endif

#endif
