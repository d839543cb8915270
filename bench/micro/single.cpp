// single.cpp -- patterns of one thread in one interpreter, block by block.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "floor.h"
#include "rows.h"
#include "sequence.h"

namespace micro {

namespace {

// A few blocks of the same size that stay, as there are in any interpreter that
// works.  Without them a pair would take the first block of a page and give
// back the last one each time, which is a rare case and not the common one.
class neighbours {
public:
    neighbours(const table &on, size_t size) : table_(on)
    {
        for (void *&block : blocks_) {
            block = table_.make(size);
        }
    }

    ~neighbours()
    {
        for (void *block : blocks_) {
            table_.drop(block);
        }
    }

    neighbours(const neighbours &) = delete;
    neighbours &operator=(const neighbours &) = delete;

private:
    const table table_;
    void *blocks_[8];
};

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

// What `new = [f(x) for x in old]; old = new` does, again and again.
void
generations(benchmark::State &state, const table on, size_t size, size_t count)
{
    neighbours stay(on, size);
    std::vector<void *> old_blocks(count);
    std::vector<void *> new_blocks(count);
    for (void *&block : old_blocks) {
        block = on.make(size);
    }
    while (state.KeepRunningBatch(static_cast<int64_t>(count))) {
        for (size_t i = 0; i < count; i++) {
            new_blocks[i] = on.make(size);
        }
        for (size_t i = 0; i < count; i++) {
            on.drop(old_blocks[i]);
        }
        old_blocks.swap(new_blocks);
    }
    for (void *block : old_blocks) {
        on.drop(block);
    }
}

inline void
replace_run(const table &on, void **blocks, const step *steps)
{
    for (size_t i = 0; i < STEPS_PER_RUN; i++) {
        void **slot = &blocks[steps[i].slot];
        on.drop(*slot);
        *slot = on.make(steps[i].size);
    }
}

// Random replacement among `live` blocks.  All of the sequence is run once
// before, for the heap of a program is not one that was filled in order.
void
replace(benchmark::State &state, const table on, size_range sizes,
        uint32_t live)
{
    const std::vector<step> steps = random_steps(live, sizes, live);
    std::vector<void *> blocks(live);
    for (size_t i = 0; i < live; i++) {
        blocks[i] = on.make(steps[i].size);
    }
    size_t at = 0;
    for (; at < steps.size(); at += STEPS_PER_RUN) {
        replace_run(on, blocks.data(), &steps[at]);
    }
    while (state.KeepRunningBatch(STEPS_PER_RUN)) {
        at = at < steps.size() ? at : 0;
        replace_run(on, blocks.data(), &steps[at]);
        at += STEPS_PER_RUN;
    }
    for (void *block : blocks) {
        on.drop(block);
    }
}

std::string
operator/(const std::string &front, size_t number)
{
    return front + "/" + std::to_string(number);
}

void
add_batch_rows(const subject &on)
{
    for (size_t count : {100, 10000, 200000}) {
        for (size_t size : {32, 64, 512}) {
            if (count * size > 20000000) {
                continue; // a test of the system's page faults
            }
            benchmark::RegisterBenchmark(std::string("lifo_batch") / size /
                                             count,
                                         lifo_batch, on.object, size, count);
            benchmark::RegisterBenchmark(std::string("fifo_batch") / size /
                                             count,
                                         fifo_batch, on.object, size, count);
        }
    }
    for (size_t size : {32, 64, 512}) {
        benchmark::RegisterBenchmark(std::string("generations") / size / 10000,
                                     generations, on.object, size,
                                     size_t{10000});
    }
    benchmark::RegisterBenchmark("generations/64/100000", generations,
                                 on.object, size_t{64}, size_t{100000});
}

void
add_replace_rows(const subject &on)
{
    struct row {
        const char *name;
        size_range sizes;
        uint32_t live;
    };
    static const row rows[] = {
        {"replace/16_512/1000", {16, 512}, 1000},
        {"replace/16_512/100000", {16, 512}, 100000},
        {"replace/16_4096/1000", {16, 4096}, 1000},
        {"replace/16_4096/100000", {16, 4096}, 100000},
        {"replace/4096_32768/1000", {4096, 32768}, 1000},
        // 100,000 of these would be 1.8 GB.
        {"replace/4096_32768/10000", {4096, 32768}, 10000},
    };
    for (const row &one : rows) {
        benchmark::RegisterBenchmark(one.name, replace, on.object, one.sizes,
                                     one.live);
    }
}

} // namespace

void
add_single_rows(const subject &on)
{
    for (size_t size : {16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 32768,
                        65536, 262144, 1048576}) {
        if (!on.is_floor || size <= FLOOR_LARGEST) {
            benchmark::RegisterBenchmark(std::string("pair") / size, pair,
                                         on.object, size);
        }
    }
    for (size_t size : {64, 1024, 65536}) {
        if (!on.is_floor || size <= FLOOR_LARGEST) {
            benchmark::RegisterBenchmark(std::string("calloc") / size,
                                         zeroed_pair, on.object, size);
        }
    }
    add_batch_rows(on);
    add_replace_rows(on);
}

} // namespace micro
