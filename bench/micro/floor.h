// floor.h -- two allocators that do nothing but what they must.

#ifndef PIM_BENCH_MICRO_FLOOR_H
#define PIM_BENCH_MICRO_FLOOR_H

#include "table.h"

namespace micro {

// The largest block of a row.  The list checks nothing: a larger one is a crash.
constexpr size_t FLOOR_LARGEST = 32 * 1024;

// Tables without realloc, for one thread; NULL functions, if there is no address
// space.  floor_table() is one list for each class, last in, first out;
// ordered_table() hands blocks out by address.
table floor_table();
table ordered_table();

} // namespace micro

#endif
