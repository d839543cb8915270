// host.h -- the Python under the patterns.
//
// The process has a main interpreter, which is idle and whose GIL is free, and
// one with its own GIL, in which the main thread works and whose GIL it holds
// from start() to stop().  A second interpreter, or a second thread of the
// first, comes and goes with a row that needs it.

#ifndef PIM_BENCH_MICRO_HOST_H
#define PIM_BENCH_MICRO_HOST_H

#include <string>

#include "table.h"

namespace micro {

// What Python runs on.
enum class allocator { pimalloc, pymalloc, mimalloc, malloc };

namespace host {

// Starts Python and makes sure that it runs on `which`.  Empty, or why not.
std::string start(allocator which);
bool stop(); // false: Python could not end cleanly

std::string version();     // "3.14.10"
table object_table();      // PYMEM_DOMAIN_OBJ; call it under a GIL only
table raw_table();         // PYMEM_DOMAIN_RAW; any thread
std::string malloc_file(); // the library or program that malloc() is from

// A thread state, and the interpreter it belongs to; opaque here.
struct state;

// Gives up the GIL that the calling thread holds, and takes it again.
state *detach();
void attach(state *own);

// For a second thread, which comes without a GIL and leaves without one: a new
// interpreter with its own GIL, which it holds in between; one at a time.
state *begin_interpreter();
void end_interpreter(state *own);

// For a second thread, too: a thread state of the interpreter of `of`, not
// attached.  Its end waits for the GIL.
state *begin_state(state *of);
void end_state(state *own);

} // namespace host
} // namespace micro

#endif
