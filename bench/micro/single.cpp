// single.cpp -- patterns of one thread in one interpreter, block by block.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "add.h"
#include "floor.h"
#include "patterns.h"
#include "rows.h"

namespace micro {

namespace {

void
pair(benchmark::State &state, const table on, size_t size)
{
    neighbours stay(on, size);
    for (auto _ : state) {
        on.drop(on.make(size));
    }
}

void
zeroed_pair(benchmark::State &state, const table on, size_t size)
{
    neighbours stay(on, size);
    for (auto _ : state) {
        on.drop(on.make_zeroed(size));
    }
}

void
lifo_batch(benchmark::State &state, const table on, size_t size, size_t count)
{
    neighbours stay(on, size);
    std::vector<void *> blocks(count);
    while (state.KeepRunningBatch(static_cast<int64_t>(count))) {
        for (size_t i = 0; i < count; i++) {
            blocks[i] = on.make(size);
        }
        for (size_t i = count; i-- > 0;) {
            on.drop(blocks[i]);
        }
    }
}

void
fifo_batch(benchmark::State &state, const table on, size_t size, size_t count)
{
    neighbours stay(on, size);
    std::vector<void *> blocks(count);
    while (state.KeepRunningBatch(static_cast<int64_t>(count))) {
        for (size_t i = 0; i < count; i++) {
            blocks[i] = on.make(size);
        }
        for (size_t i = 0; i < count; i++) {
            on.drop(blocks[i]);
        }
    }
}

template <class Pattern>
void
repeat(benchmark::State &state, const table on, typename Pattern::shape shape)
{
    Pattern pattern(on, shape);
    while (state.KeepRunningBatch(pattern.blocks_per_run())) {
        pattern.run();
    }
}

void
add_batch_rows(const subject &on)
{
    for (size_t count : {100, 10000, 200000}) {
        for (size_t size : {32, 64, 512}) {
            if (count * size > 20000000) {
                continue; // a test of the system's page faults
            }
            add(row_name("lifo_batch") / size / count, lifo_batch, on.object,
                size, count);
            add(row_name("fifo_batch") / size / count, fifo_batch, on.object,
                size, count);
        }
    }
}

void
add_pattern_rows(const subject &on)
{
    for (size_t size : {32, 64, 512}) {
        add(row_name("generations") / size / 10000, repeat<generations>,
            on.object, generations::shape{size, 10000});
    }
    add("generations/64/100000", repeat<generations>, on.object,
        generations::shape{64, 100000});

    static const struct {
        const char *name;
        replacement::shape shape;
    } rows[] = {
        {"replace/16_512/1000", {{16, 512}, 1000}},
        {"replace/16_512/100000", {{16, 512}, 100000}},
        {"replace/16_4096/1000", {{16, 4096}, 1000}},
        {"replace/16_4096/100000", {{16, 4096}, 100000}},
        {"replace/4096_32768/1000", {{4096, 32768}, 1000}},
        // 100,000 of these would be 1.8 GB.
        {"replace/4096_32768/10000", {{4096, 32768}, 10000}},
    };
    for (const auto &row : rows) {
        add(row.name, repeat<replacement>, on.object, row.shape);
    }
}

} // namespace

void
add_single_rows(const subject &on)
{
    for (size_t size : {16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 32768,
                        65536, 262144, 1048576}) {
        if (!on.is_floor || size <= FLOOR_LARGEST) {
            add(row_name("pair") / size, pair, on.object, size);
        }
    }
    for (size_t size : {64, 1024, 65536}) {
        if (!on.is_floor || size <= FLOOR_LARGEST) {
            add(row_name("calloc") / size, zeroed_pair, on.object, size);
        }
    }
    add_batch_rows(on);
    add_pattern_rows(on);
}

} // namespace micro
