// record.h -- a log of all requests for memory, to be played on other allocators.
//
// docs/recording.md says what it costs and what is in the file; bench/replay plays
// it.  From Python: pimalloc.record_start(); for a program as it is: pimalloc-run
// --record.
//
// Any thread, with a GIL or without; not in a signal handler and not inside a hook.
//
// Compiles as C11 and as C++17 and does not need Python.h.

#ifndef PIMALLOC_RECORD_H
#define PIMALLOC_RECORD_H

#include <stdint.h>

#include "pimalloc/hooks.h"

#ifdef __cplusplus
extern "C" {
#endif

// Logs each request of one interpreter, or of PIMALLOC_PROCESS, or of all with
// PIMALLOC_EACH: allocations with their sizes, resizes, frees, in which domain,
// for whom, by which thread and about when; and which interpreters begin and
// end.  One recording at a time.
//
// path: a regular file, which is emptied or made; "%p" and "%%" and symbolic
// links as in pimalloc_stats_save().  Each thread collects 64 KiB of events and
// then writes them by itself, so that after a crash or _exit() the file lacks what
// was collected last.  A process that exits ends its recording.
//
// Where a write fails (a full disk), one line on stderr says so, the recording ends
// there, and the program goes on; pimalloc_record_stop() returns the error.
//
// A forked child records into a file of its own if path has "%p", from the fork on;
// else nothing.
//
// Returns 0; -EALREADY (a recording is on); -EINVAL (no path, or no such id);
// -EBUSY (another process records into that file); -ESPIPE (it is no regular file);
// -ENAMETOOLONG, -EACCES, or what open(2) failed with; or what
// pimalloc_hook_push() returns.
PIMALLOC_EXPORT int pimalloc_record_start(const char *path, int64_t interp);

// Ends the recording and completes the file.  0; -ENOENT: there is none; what a
// write failed with; or -EDEADLK, -EBUSY and -ETIMEDOUT as in pimalloc_hook_pop(), and then
// the recording is not ended: call again.
PIMALLOC_EXPORT int pimalloc_record_stop(void);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_RECORD_H
