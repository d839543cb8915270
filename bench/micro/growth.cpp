// growth.cpp -- a block that grows as CPython's lists do.

#include <benchmark/benchmark.h>

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

// From FIRST_BYTES to `limit`, and free.  All of it is one iteration.
void
growth(benchmark::State &state, const table on, size_t limit)
{
    for (auto _ : state) {
        char *block = static_cast<char *>(on.make(FIRST_BYTES));
        for (size_t bytes = FIRST_BYTES; bytes < limit;) {
            size_t more = grown(bytes) < limit ? grown(bytes) : limit;
            block = static_cast<char *>(on.resize(block, more));
            use(block, bytes, more);
            bytes = more;
        }
        on.drop(block);
    }
}

} // namespace

void
add_growth_rows(const subject &on)
{
    if (on.is_floor) {
        return; // it has no realloc
    }
    add("growth/65536", growth, on.object, size_t{65536});
    add("growth/16777216", growth, on.object, size_t{16} << 20);
}

} // namespace micro
