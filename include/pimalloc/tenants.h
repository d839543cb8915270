// tenants.h -- interpreters as tenants of a process: what a host may ask of each,
// beyond the figures of pimalloc.h.
//
// Compiles as C11 and as C++17 and does not need Python.h.  docs/tenants.md has the
// whole story.  Structures that a caller fills start with their own size, set by the
// caller; those that are passed to a callback have it set by the library.
//
// No function here may be called from a signal handler.

#ifndef PIMALLOC_TENANTS_H
#define PIMALLOC_TENANTS_H

#include <stddef.h>
#include <stdint.h>

#include "pimalloc/pimalloc.h"

#ifdef __cplusplus
extern "C" {
#endif

// --- walk ------------------------------------------------------------------

// A live block.
typedef struct pimalloc_block {
    size_t size;    // sizeof(pimalloc_block) of the library
    int64_t interp; // whose account it is in, or PIMALLOC_PROCESS
    void *address;
    size_t bytes;   // usable
    int domain;     // enum pimalloc_domain
    int size_class; // the larger, the larger the block
} pimalloc_block;

// Called for each block; other than 0 ends the walk and is what it returns.  Must
// not call Python or pimalloc, nor fork or wait for another thread: locks are held.
typedef int (*pimalloc_visitor)(void *arg, const pimalloc_block *block);

// Visits all live blocks of an interpreter, in no order, or of PIMALLOC_PROCESS: what
// ended interpreters left and what was allocated without a thread state.  Their sum
// is what pimalloc_stats() says of the mem and obj domains at that moment, to the
// byte and block.  Blocks of the raw domain are not visited for the process.
//
// Of an interpreter: the caller holds its GIL, by an attached thread state of it, or
// nobody runs it meanwhile.  A small block that another thread frees during the walk
// may be visited all the same, so what a block holds may be read only if nobody
// does.  The id of a legacy interpreter stands for main's, as in pimalloc_stats().
// Of the process: any thread, no GIL needed; threads that come to a slow path of the
// allocator wait until the walk is over.
// Returns 0, what visit() returned, -EINVAL (no visitor), or -ENOENT: no such
// interpreter lives, or pimalloc was never installed.
PIMALLOC_EXPORT int pimalloc_walk(int64_t interp, pimalloc_visitor visit,
                                  void *arg);

// --- leaks -----------------------------------------------------------------

// What is left of one kind of block.
typedef struct pimalloc_leak {
    const char *type; // name of the objects' type; NULL: they are none, or not
                      // recognised
    int domain;       // enum pimalloc_domain
    int size_class;   // as in pimalloc_block
    int is_pythons; // 1: what CPython 3.12 and 3.13 leave of every interpreter,
                    // immortal strings
    uint64_t blocks;
    uint64_t bytes;
} pimalloc_leak;

// What an interpreter left when it ended.
typedef struct pimalloc_leaks {
    size_t size; // sizeof(pimalloc_leaks) of the library
    int64_t interp;
    uint32_t generation;
    uint64_t blocks; // all of them
    uint64_t bytes;
    uint64_t python_blocks; // of these, CPython's own
    uint64_t python_bytes;
    size_t count;               // kinds
    size_t leak_size;           // from one to the next, in bytes
    const pimalloc_leak *leaks; // the most bytes first
    uint64_t more_blocks; // of kinds beyond these, for which there was no room
    uint64_t more_bytes;
} pimalloc_leaks;

// Called after the last event of an interpreter's life, when its memory was given
// back, in the thread that ended it, without a thread state: may not call Python.
// What it is given goes when it returns.
typedef void (*pimalloc_leaks_callback)(void *arg, const pimalloc_leaks *leaks);

// Has each interpreter that ends from now on looked through, and the callback told
// what it left, also if that is nothing; NULL: none, any more.  The main interpreter
// and legacy ones have no last event and are not told of.  Any thread, no GIL.
PIMALLOC_EXPORT void pimalloc_leaks_set(pimalloc_leaks_callback callback,
                                        void *arg);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_TENANTS_H
