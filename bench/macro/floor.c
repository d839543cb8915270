// floor.c -- an allocator that does nothing but what it must, for whole programs.
//
// What it costs to be called at all: blocks of a class (16 bytes apart) lie on
// one list, last in, first out, in a global; there is no check of any kind, no
// thread, no interpreter, no count, and no memory is ever given back.  Only one
// interpreter may run at a time.  Larger blocks are libc's.
//
//     region: | chunk, class 2 | chunk, class 4 | chunk, class 2 | not used ...
//     classes:  2                4                2
//
// free() finds a block's class by the number of the chunk that it lies in.
//
// The list scrambles the order of blocks, so a program that lives for long may be
// faster on an allocator that keeps it: see ordered.c.

#include "host.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ordered.h"

#define CHUNK_SHIFT 16
#define CHUNK_SIZE ((size_t)1 << CHUNK_SHIFT)
#define REGION_SIZE ((size_t)1 << 33)
#define LARGEST ((size_t)4096)
#define CLASSES (LARGEST / 16 + 1)

typedef struct block {
    struct block *next;
} block;

static block *lists[CLASSES];
static uint16_t classes[REGION_SIZE / CHUNK_SIZE];
static char *cursors[CLASSES]; // the next block to cut
static char *ends[CLASSES];    // of the chunk that it is cut from
static char *region;
static char *fresh; // the first chunk of the region not used yet

static size_t
class_of(const void *address)
{
    return classes[(size_t)((const char *)address - region) >> CHUNK_SHIFT];
}

static int
is_small(const void *address)
{
    return (size_t)((const char *)address - region) < REGION_SIZE;
}

static __attribute__((noinline)) void *
cut(size_t size_class)
{
    size_t size = size_class * 16;
    if ((size_t)(ends[size_class] - cursors[size_class]) < size) {
        if (fresh == region + REGION_SIZE) {
            return NULL;
        }
        classes[(size_t)(fresh - region) >> CHUNK_SHIFT] = (uint16_t)size_class;
        cursors[size_class] = fresh;
        ends[size_class] = fresh + CHUNK_SIZE;
        fresh += CHUNK_SIZE;
    }
    char *taken = cursors[size_class];
    cursors[size_class] += size;
    return taken;
}

static void *
floor_malloc(void *ctx, size_t size)
{
    (void)ctx;
    size += size == 0;
    if (size > LARGEST) {
        return malloc(size);
    }
    size_t size_class = (size + 15) >> 4;
    block *taken = lists[size_class];
    if (__builtin_expect(taken == NULL, 0)) {
        return cut(size_class);
    }
    lists[size_class] = taken->next;
    return taken;
}

static void *
floor_calloc(void *ctx, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    if (bytes > LARGEST) {
        return calloc(1, bytes);
    }
    void *taken = floor_malloc(ctx, bytes);
    return taken != NULL ? memset(taken, 0, bytes) : NULL;
}

static void
floor_free(void *ctx, void *address)
{
    (void)ctx;
    if (!is_small(address)) {
        free(address);
        return;
    }
    block *freed = address;
    size_t size_class = class_of(address);
    freed->next = lists[size_class];
    lists[size_class] = freed;
}

static void *
floor_realloc(void *ctx, void *address, size_t size)
{
    if (address == NULL) {
        return floor_malloc(ctx, size);
    }
    size += size == 0;
    if (!is_small(address) && size > LARGEST) {
        return realloc(address, size);
    }
    size_t old_size = is_small(address) ? class_of(address) * 16 : size;
    if (is_small(address) && size <= old_size && size > old_size / 4 * 3) {
        return address;
    }
    void *moved = floor_malloc(ctx, size);
    if (moved != NULL) {
        memcpy(moved, address, old_size < size ? old_size : size);
        floor_free(ctx, address);
    }
    return moved;
}

static void
install(PyMemAllocatorEx table)
{
    PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &table);
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &table);
}

int
host_install_floor(void)
{
    region = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) {
        return -1;
    }
    fresh = region;
    install((PyMemAllocatorEx){NULL, floor_malloc, floor_calloc, floor_realloc,
                               floor_free});
    return 0;
}

int
host_install_ordered(void)
{
    if (ordered_reserve() != 0) {
        return -1;
    }
    install((PyMemAllocatorEx){NULL, ordered_malloc, ordered_calloc,
                               ordered_realloc, ordered_free});
    return 0;
}
