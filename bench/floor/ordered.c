// ordered.c -- a floor that keeps the order of blocks.
//
// Like the floor that is one list, last in, first out, it has no check of any
// kind, no thread, no interpreter and no count that anybody could ask for, and
// gives no memory back.  But that list permutes the blocks with each life of a
// heap, until neighbours in time are strangers in memory; then a program waits
// for its cache.  Here blocks are handed out by address:
//
//     region: | chunk, class 2 | chunk, class 4 | chunk, class 2 | ...
//
//     chunk    64 KiB of one class (16 bytes apart); a bit for each block that
//              is free
//     current  one chunk of each class; its free blocks lie on a list, lowest
//              first; what is freed in it goes to the front, as it is warm
//     ready    a chunk with a quarter of its blocks free; the lowest one is the
//              next to be current.  No chunk is taken for a few blocks, as
//              they would lie far apart
//
// free() finds a block's chunk by the number of the 64 KiB that it lies in, and
// its bit by a multiplication.

#include "ordered.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_SHIFT 16
#define CHUNK_SIZE ((size_t)1 << CHUNK_SHIFT)
#define REGION_SIZE ((size_t)1 << 33)
#define CHUNKS (REGION_SIZE / CHUNK_SIZE)
#define CLASSES (ORDERED_LARGEST / 16 + 1)
#define BIT_WORDS (CHUNK_SIZE / 16 / 64)
#define READY_SHARE 4  // of a chunk's blocks
#define CUT_BYTES 4096 // of a new chunk are linked at a time

typedef struct block {
    struct block *next;
} block;

typedef struct chunk {
    uint32_t factor; // 2^32 by the size of a block, rounded up
    uint16_t size_class;
    uint16_t freed;  // bits that are set
    uint16_t enough; // of them, to be ready
    bool is_current;
    uint64_t bits[BIT_WORDS];
} chunk;

static block *lists[CLASSES]; // of the current chunks
static chunk *current[CLASSES];
static char *cursors[CLASSES]; // what is not cut yet of the current chunk
static char *ends[CLASSES];
static uint64_t ready[CLASSES][CHUNKS / 64];
static size_t first_ready[CLASSES]; // no word before it has a bit
static chunk chunks[CHUNKS];
static char *region;
static size_t used; // chunks

static size_t
chunk_number(const void *address)
{
    return (size_t)((const char *)address - region) >> CHUNK_SHIFT;
}

static bool
is_small(const void *address)
{
    return (size_t)((const char *)address - region) < REGION_SIZE;
}

// --- chunks ------------------------------------------------------------------

// The lowest one that is ready, or NULL.
static chunk *
take_ready(size_t size_class)
{
    size_t words = (used + 63) / 64;
    size_t at = first_ready[size_class];
    while (at < words && ready[size_class][at] == 0) {
        at++;
    }
    first_ready[size_class] = at;
    if (at >= words) {
        return NULL;
    }
    uint64_t *word = &ready[size_class][at];
    size_t number = at * 64 + (size_t)__builtin_ctzll(*word);
    *word &= *word - 1;
    return &chunks[number];
}

static void
note_ready(const chunk *one)
{
    size_t number = (size_t)(one - chunks);
    size_t at = number / 64;
    ready[one->size_class][at] |= (uint64_t)1 << number % 64;
    if (at < first_ready[one->size_class]) {
        first_ready[one->size_class] = at;
    }
}

// Links the free blocks of a chunk, the lowest first.
static block *
link_free(chunk *one)
{
    char *start = region + (size_t)(one - chunks) * CHUNK_SIZE;
    size_t size = (size_t)one->size_class * 16;
    block *first = NULL;
    for (size_t at = BIT_WORDS; at-- > 0;) {
        uint64_t word = one->bits[at];
        one->bits[at] = 0;
        while (word != 0) {
            size_t bit = 63 - (size_t)__builtin_clzll(word);
            word &= ~((uint64_t)1 << bit);
            block *freed = (block *)(void *)(start + (at * 64 + bit) * size);
            freed->next = first;
            first = freed;
        }
    }
    one->freed = 0;
    return first;
}

static chunk *
make_chunk(size_t size_class)
{
    if (used == CHUNKS) {
        return NULL;
    }
    chunk *one = &chunks[used];
    size_t size = size_class * 16;
    size_t share = CHUNK_SIZE / size / READY_SHARE;
    one->size_class = (uint16_t)size_class;
    one->factor = (uint32_t)((((uint64_t)1 << 32) + size - 1) / size);
    one->enough = (uint16_t)(share > 0 ? share : 1);
    cursors[size_class] = region + used * CHUNK_SIZE;
    ends[size_class] = cursors[size_class] + CHUNK_SIZE;
    used++;
    return one;
}

// Links the next blocks of the current chunk that nobody had yet; NULL if there
// are none.
static block *
cut(size_t size_class)
{
    size_t size = size_class * 16;
    size_t left = (size_t)(ends[size_class] - cursors[size_class]) / size;
    size_t count = CUT_BYTES / size > 0 ? CUT_BYTES / size : 1;
    count = count < left ? count : left;
    char *start = cursors[size_class];
    block *first = NULL;
    for (size_t i = count; i-- > 0;) {
        block *fresh = (block *)(void *)(start + i * size);
        fresh->next = first;
        first = fresh;
    }
    cursors[size_class] += count * size;
    return first;
}

static __attribute__((noinline)) void *
malloc_slow(size_t size_class)
{
    block *first = cut(size_class);
    if (first == NULL) {
        if (current[size_class] != NULL) {
            current[size_class]->is_current = false;
        }
        chunk *next = take_ready(size_class);
        if (next != NULL) {
            first = link_free(next);
        } else {
            next = make_chunk(size_class);
            if (next == NULL) {
                return NULL;
            }
            first = cut(size_class);
        }
        next->is_current = true;
        current[size_class] = next;
    }
    lists[size_class] = first->next;
    return first;
}

// --- the table ----------------------------------------------------------------

void *
ordered_malloc(void *ctx, size_t size)
{
    (void)ctx;
    size += size == 0;
    if (size > ORDERED_LARGEST) {
        return malloc(size);
    }
    size_t size_class = (size + 15) >> 4;
    block *taken = lists[size_class];
    if (__builtin_expect(taken == NULL, 0)) {
        return malloc_slow(size_class);
    }
    lists[size_class] = taken->next;
    return taken;
}

void *
ordered_calloc(void *ctx, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    if (bytes > ORDERED_LARGEST) {
        return calloc(1, bytes);
    }
    void *taken = ordered_malloc(ctx, bytes);
    return taken != NULL ? memset(taken, 0, bytes) : NULL;
}

void
ordered_free(void *ctx, void *address)
{
    (void)ctx;
    if (!is_small(address)) {
        free(address);
        return;
    }
    chunk *one = &chunks[chunk_number(address)];
    if (one->is_current) {
        block *freed = address;
        freed->next = lists[one->size_class];
        lists[one->size_class] = freed;
        return;
    }
    uint64_t offset = (uintptr_t)((char *)address - region) & (CHUNK_SIZE - 1);
    size_t place = (size_t)(offset * one->factor >> 32);
    one->bits[place / 64] |= (uint64_t)1 << place % 64;
    if (++one->freed == one->enough) {
        note_ready(one);
    }
}

void *
ordered_realloc(void *ctx, void *address, size_t size)
{
    if (address == NULL) {
        return ordered_malloc(ctx, size);
    }
    size += size == 0;
    if (!is_small(address) && size > ORDERED_LARGEST) {
        return realloc(address, size);
    }
    size_t old_size = size;
    if (is_small(address)) {
        old_size = (size_t)chunks[chunk_number(address)].size_class * 16;
        if (size <= old_size && size > old_size / 4 * 3) {
            return address;
        }
    }
    void *moved = ordered_malloc(ctx, size);
    if (moved != NULL) {
        memcpy(moved, address, old_size < size ? old_size : size);
        ordered_free(ctx, address);
    }
    return moved;
}

int
ordered_reserve(void)
{
    region = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return region == MAP_FAILED ? -1 : 0;
}
