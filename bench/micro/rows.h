// rows.h -- what is measured on what.

#ifndef PIM_BENCH_MICRO_ROWS_H
#define PIM_BENCH_MICRO_ROWS_H

#include "table.h"

namespace micro {

// The allocator under test.
struct subject {
    table object;          // called under the GIL of an interpreter
    table raw;             // called by any thread; not a floor's
    bool is_floor;         // one thread, up to FLOOR_LARGEST, no realloc
    bool frees_for_others; // an interpreter may free another one's block
};

// Each adds its rows, as far as the subject can serve them, under the names
// PATTERN/SIZE[/COUNT].  Rows that end in "/real_time" use more than one thread
// and are to be compared by that; all others by processor time.
//
// In rows of several threads they share the work: the time is that of all of
// it, by the clock, divided by all the blocks.
//
// The time of a row is that of one malloc and one free, whatever the pattern
// does between them; of the growth rows, that of the whole growth.
void add_single_rows(const subject &on);
void add_growth_rows(const subject &on);
void add_thread_rows(const subject &on);
void add_raw_rows(const subject &on);

} // namespace micro

#endif
