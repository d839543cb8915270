// floor.cpp -- an allocator that does nothing but what it must.
//
// Blocks of one class (16 bytes apart) lie on one list, last in, first out, in
// a global: malloc takes one off, free puts one on.  If the list is empty the
// next block is cut from the class's newest chunk.
//
//     region: | chunk, class 2 | chunk, class 4 | chunk, class 2 | not used ...
//     classes:  2                4                2
//
// free() is not told the size.  The floor finds the class where any allocator
// without block headers must look for it: in a table beside the region, by the
// number of the chunk that the address lies in.  The region is aligned to its
// own size, so the number is a mask and a shift of the address, and there is
// nothing to load but the class.
//
// What it leaves out and an allocator that is of use cannot: whose block it is,
// threads, interpreters, counting, sizes above FLOOR_LARGEST, memory that comes
// from elsewhere, and giving anything back.
//
// It also leaves out order: the list is permuted with each life of a heap.  What
// that costs shows in whole programs; floor/ordered.c is the floor that pays for
// order instead.

#include "floor.h"

#include "ordered.h"

#include <cstring>
#include <sys/mman.h>

namespace micro {

namespace {

constexpr size_t CHUNK_SHIFT = 16;
constexpr size_t CHUNK_SIZE = size_t{1} << CHUNK_SHIFT;
constexpr size_t REGION_SIZE = size_t{1} << 33;
constexpr size_t CLASSES = FLOOR_LARGEST / 16 + 1;

struct block {
    block *next;
};

block *lists[CLASSES];
uint16_t classes[REGION_SIZE / CHUNK_SIZE];
char *cursors[CLASSES]; // the next block to cut
char *ends[CLASSES];    // of the chunk that it is cut from
char *fresh;            // the first chunk of the region not used yet

__attribute__((noinline)) void *
cut(size_t size_class)
{
    size_t size = size_class * 16;
    if (static_cast<size_t>(ends[size_class] - cursors[size_class]) < size) {
        size_t number =
            (reinterpret_cast<uintptr_t>(fresh) & (REGION_SIZE - 1)) >>
            CHUNK_SHIFT;
        classes[number] = static_cast<uint16_t>(size_class);
        cursors[size_class] = fresh;
        ends[size_class] = fresh + CHUNK_SIZE;
        fresh += CHUNK_SIZE;
    }
    char *taken = cursors[size_class];
    cursors[size_class] += size;
    return taken;
}

void *
floor_malloc(void *, size_t size)
{
    size_t size_class = (size + 15) >> 4;
    block *taken = lists[size_class];
    if (__builtin_expect(taken == nullptr, 0)) {
        return cut(size_class);
    }
    lists[size_class] = taken->next;
    return taken;
}

void *
floor_calloc(void *ctx, size_t count, size_t size)
{
    return memset(floor_malloc(ctx, count * size), 0, count * size);
}

void
floor_free(void *, void *address)
{
    block *freed = static_cast<block *>(address);
    size_t number =
        (reinterpret_cast<uintptr_t>(address) & (REGION_SIZE - 1)) >>
        CHUNK_SHIFT;
    size_t size_class = classes[number];
    freed->next = lists[size_class];
    lists[size_class] = freed;
}

// Reserves twice the region and takes the aligned half of it.
bool
reserve()
{
    void *got = mmap(nullptr, 2 * REGION_SIZE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) {
        return false;
    }
    uintptr_t start = reinterpret_cast<uintptr_t>(got);
    start = (start + REGION_SIZE - 1) & ~(REGION_SIZE - 1);
    fresh = reinterpret_cast<char *>(start);
    return mprotect(fresh, REGION_SIZE, PROT_READ | PROT_WRITE) == 0;
}

} // namespace

table
floor_table()
{
    if (fresh == nullptr && !reserve()) {
        return {};
    }
    return {nullptr, floor_malloc, floor_calloc, nullptr, floor_free};
}

table
ordered_table()
{
    static_assert(ORDERED_LARGEST == FLOOR_LARGEST, "the same rows");
    if (ordered_reserve() != 0) {
        return {};
    }
    return {nullptr, ordered_malloc, ordered_calloc, nullptr, ordered_free};
}

} // namespace micro
