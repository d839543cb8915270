// floor.h -- what no allocator behind a table of functions can beat.

#ifndef PIM_BENCH_MICRO_FLOOR_H
#define PIM_BENCH_MICRO_FLOOR_H

#include "table.h"

namespace micro {

// The largest block it serves.  It checks nothing: a larger one is a crash.
constexpr size_t FLOOR_LARGEST = 32 * 1024;

// Its table, without realloc.  For one thread.  NULL functions, if there is no
// address space for it.
table floor_table();

} // namespace micro

#endif
