// growth.cpp -- a block that grows as CPython's lists do.

#include <benchmark/benchmark.h>

#include <vector>

#include "add.h"
#include "rows.h"

namespace micro {

namespace {

constexpr size_t ITEM = sizeof(void *);
constexpr size_t FIRST_BYTES = 64;
constexpr size_t PAGE = 4096; // no more than a page of any system

// The bytes of a list that was full and has one item appended
// (list_resize() in Objects/listobject.c).
size_t
grown(size_t bytes)
{
    size_t wanted = bytes / ITEM + 1;
    return ((wanted + (wanted >> 3) + 6) & ~size_t{3}) * ITEM;
}

// Writes a word to every page of the new part, or an allocator could hand out
// memory that nobody has to provide.
void
use(char *block, size_t from, size_t to)
{
    *reinterpret_cast<uint64_t *>(block + from) = to;
    size_t first = (reinterpret_cast<uintptr_t>(block) + from) % PAGE;
    for (size_t at = from + (PAGE - first); at < to; at += PAGE) {
        *reinterpret_cast<uint64_t *>(block + at) = to;
    }
}

struct growing {
    char *block;
    size_t bytes;
};

void
grow(const table &on, growing *one, size_t limit)
{
    size_t more = grown(one->bytes) < limit ? grown(one->bytes) : limit;
    one->block = static_cast<char *>(on.resize(one->block, more));
    use(one->block, one->bytes, more);
    one->bytes = more;
}

// `count` blocks grow in turns from FIRST_BYTES to `limit` and are freed.  One
// alone may lie last in a heap, where there is nothing to do but to go on; of
// two at most one does.
void
growth(benchmark::State &state, const table on, size_t count, size_t limit)
{
    std::vector<growing> all(count);
    while (state.KeepRunningBatch(static_cast<int64_t>(count))) {
        for (growing &one : all) {
            one = {static_cast<char *>(on.make(FIRST_BYTES)), FIRST_BYTES};
        }
        while (all[0].bytes < limit) {
            for (growing &one : all) {
                grow(on, &one, limit);
            }
        }
        for (growing &one : all) {
            on.drop(one.block);
        }
    }
}

} // namespace

void
add_growth_rows(const subject &on)
{
    if (on.is_floor) {
        return; // it has no realloc
    }
    for (size_t limit : {size_t{64} << 10, size_t{16} << 20}) {
        add(row_name("growth") / limit, growth, on.object, size_t{1}, limit);
        add(row_name("growth_of_two") / limit, growth, on.object, size_t{2},
            limit);
    }
}

} // namespace micro
