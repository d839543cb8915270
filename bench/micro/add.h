// add.h -- a row under a name that was put together.

#ifndef PIM_BENCH_MICRO_ADD_H
#define PIM_BENCH_MICRO_ADD_H

#include <benchmark/benchmark.h>

#include <string>
#include <utility>

namespace micro {

// Google Benchmark up to 1.7 wants a C string, which it copies.
template <class Function, class... Arguments>
auto *
add(const std::string &name, Function &&function, Arguments &&...arguments)
{
    return benchmark::RegisterBenchmark(name.c_str(),
                                        std::forward<Function>(function),
                                        std::forward<Arguments>(arguments)...);
}

// "pair" / 32 is "pair/32".
struct row_name {
    std::string text;

    row_name(const char *pattern) : text(pattern)
    {
    }

    row_name &
    operator/(size_t number)
    {
        text += "/" + std::to_string(number);
        return *this;
    }

    operator const std::string &() const
    {
        return text;
    }
};

} // namespace micro

#endif
