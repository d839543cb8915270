// trace.h -- which Python code holds memory: every live block of one
// interpreter, or of all, with its size and the stack that asked for it.
//
// What tracemalloc tells of a process, per interpreter, isolated ones included.
// From Python: pimalloc.trace_start(), pimalloc.take_snapshot().
//
// All functions: any thread, with a GIL or without, not in a signal handler and
// not inside a hook, unless they say otherwise.  `interp` is an interpreter's
// id, PIMALLOC_PROCESS, or PIMALLOC_EACH.  Structures start with their size, set
// by the caller.
//
// Compiles as C11 and as C++17 and does not need Python.h.

#ifndef PIMALLOC_TRACE_H
#define PIMALLOC_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "pimalloc/hooks.h"

#ifdef __cplusplus
extern "C" {
#endif

// The most frames of a stack that are kept.
#define PIMALLOC_TRACE_FRAMES_MAX 256

// Begins to trace what is asked for from now on, with up to so many frames each,
// 1 to PIMALLOC_TRACE_FRAMES_MAX.  The caller has a thread state attached, whose
// interpreter runs Python code: how frames are to be read is proven on it.
//
// 0; -EINVAL (frames, or interp); -EALREADY (that interpreter is traced, or
// others are and this is for all); -ENOTSUP (this CPython's frames cannot be
// read: pimalloc_trace_why() says why); -ENOMEM; and the errors of
// pimalloc_hook_push().
PIMALLOC_EXPORT int pimalloc_trace_start(int64_t interp, unsigned frames);

// Ends it and forgets what was traced.  0; -ENOENT: that trace does not run;
// -EBUSY: it still runs, for another change waits for a hook that does not return;
// -ETIMEDOUT: a thread stays in a hook, and the tables stay until the next start.
PIMALLOC_EXPORT int pimalloc_trace_stop(int64_t interp);

// Forgets what was traced so far, and goes on.  What other threads ask for
// meanwhile counts as before.  0; -ENOENT: that trace does not run; -EBUSY: as
// above; -ETIMEDOUT: a thread stays in a hook, and the trace has ended.
PIMALLOC_EXPORT int pimalloc_trace_clear(int64_t interp);

// Why frames cannot be read, in one line; NULL: they can, or nobody asked.
PIMALLOC_EXPORT const char *pimalloc_trace_why(void);

typedef struct pimalloc_trace_figures {
    size_t size;         // sizeof(pimalloc_trace_figures)
    uint32_t frames;     // kept of a stack; 0: not traced
    uint64_t live_bytes; // as asked for, of blocks asked for since the start
    uint64_t live_blocks;
    uint64_t peak_bytes;  // since the start, or the last reset
    uint64_t lost;        // blocks for whose record there was no memory
    uint64_t table_bytes; // what all traces of the process take
} pimalloc_trace_figures;

// What is traced of an interpreter, or of the process; with PIMALLOC_EACH the
// sums, where the peak is that of the sums of peaks.  0; -EINVAL: the size.
PIMALLOC_EXPORT int pimalloc_trace_get(int64_t interp,
                                       pimalloc_trace_figures *out);

// The peak is what is live now.
PIMALLOC_EXPORT void pimalloc_trace_reset_peak(int64_t interp);

// A block that is traced.
typedef struct pimalloc_traced {
    size_t size; // sizeof(pimalloc_traced), set by the library
    int64_t interp;
    int domain; // enum pimalloc_domain
    const void *address;
    uint64_t bytes; // as asked for
    uint32_t stack; // its number; equal stacks have the same
} pimalloc_traced;

// Returns 0 to go on.  Called under a lock: calls nothing of pimalloc's and does
// not allocate through CPython.
typedef int (*pimalloc_trace_visitor)(void *arg, const pimalloc_traced *block);

// Calls visit() with each traced block of an interpreter, or of all, while they
// run: each was live at some moment of the call.  Returns 0, or what visit()
// did.
PIMALLOC_EXPORT int
pimalloc_trace_walk(int64_t interp, pimalloc_trace_visitor visit, void *arg);

// The block in which a live object lies.  0; -ENOENT: it is not traced.
PIMALLOC_EXPORT int pimalloc_trace_find(const void *object,
                                        pimalloc_traced *out);

typedef struct pimalloc_frame {
    const char *file;     // UTF-8
    const char *function; // qualified name, UTF-8
    int line;             // 0: none
} pimalloc_frame;

// The frames of a stack, newest first, as many as fit; returns how many are
// kept.  *total: how many the stack had.  Numbers and strings stay until the last
// trace is stopped or cleared.
PIMALLOC_EXPORT size_t pimalloc_trace_stack(uint32_t stack, pimalloc_frame *out,
                                            size_t capacity, size_t *total);

// Keeps numbers and strings, whoever stops traces, until it is released as often.
PIMALLOC_EXPORT void pimalloc_trace_hold(void);
PIMALLOC_EXPORT void pimalloc_trace_release(void);

// Gives the block that an object lies in, if it is traced, the calling thread's
// stack as it is now.  For PyRefTracer_SetTracer() of CPython 3.13 and later,
// which is told of objects from CPython's free lists, too.  The object is of the
// calling interpreter, whose GIL is held.
PIMALLOC_EXPORT void pimalloc_trace_relabel(const void *object);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_TRACE_H
