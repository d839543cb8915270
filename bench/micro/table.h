// table.h -- the functions that a pattern measures.
//
// What CPython keeps for each of its domains (PyMemAllocatorEx): four pointers
// and a context.  Every allocator is called through a copy of it that lies on
// the pattern's own stack, so that all pay the same indirect call and nothing
// of PyObject_Malloc() around it.

#ifndef PIM_BENCH_MICRO_TABLE_H
#define PIM_BENCH_MICRO_TABLE_H

#include <cstddef>
#include <cstdint>

namespace micro {

struct table {
    void *ctx;
    void *(*malloc_fn)(void *ctx, size_t size);
    void *(*calloc_fn)(void *ctx, size_t count, size_t size);
    void *(*realloc_fn)(void *ctx, void *block, size_t size);
    void (*free_fn)(void *ctx, void *block);

    // A new block whose first word has been written.  No pattern asks for more
    // than there is, so none checks for NULL; a failure is a crash.
    void *
    make(size_t size) const
    {
        void *block = malloc_fn(ctx, size);
        *static_cast<uint64_t *>(block) = size;
        return block;
    }

    void *
    make_zeroed(size_t size) const
    {
        void *block = calloc_fn(ctx, 1, size);
        *static_cast<uint64_t *>(block) = size;
        return block;
    }

    void *
    resize(void *block, size_t size) const
    {
        return realloc_fn(ctx, block, size);
    }

    void
    drop(void *block) const
    {
        free_fn(ctx, block);
    }
};

} // namespace micro

#endif
