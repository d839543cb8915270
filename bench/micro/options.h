// options.h -- what this program understands before Google's own options.

#ifndef PIM_BENCH_MICRO_OPTIONS_H
#define PIM_BENCH_MICRO_OPTIONS_H

#include <string>

namespace micro {

struct options {
    std::string allocator = "pimalloc";
    std::string label; // the same as `allocator`, if none is given
    bool help = false;
};

// Takes ours out of argv.  Empty, or what is wrong with them.
std::string parse_options(int *argc, char **argv, options *into);

void print_help();

} // namespace micro

#endif
