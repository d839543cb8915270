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

// Where an interpreter's id is asked for: all of them, or those to come.
#define PIMALLOC_EACH ((int64_t)-2)

// --- what becomes of blocks that an interpreter leaves live at its end ----------

enum pimalloc_policy {
    // They stay valid, and late frees and uses of them work: the memory around
    // them goes back, and later interpreters allocate there.
    PIMALLOC_KEEP = 1,

    // Their memory goes back, and their addresses stay inaccessible for the life
    // of the process: whoever reads or writes one is named on stderr before the
    // process gets its SIGSEGV.  A late free is counted and does nothing.
    PIMALLOC_POISON = 2,

    // Everything goes back at once, as if they had been freed.  A late use, or a
    // late free, of such a block is an error like one of a freed block.
    PIMALLOC_RELEASE = 3
};

// Sets what becomes of what an interpreter leaves; PIMALLOC_EACH: of those whose
// first allocation is yet to come.  The default is PIMALLOC_KEEP, what
// pimalloc_config.teardown or PIMALLOC_TEARDOWN say.
//
// The domains mem and obj are meant; raw blocks belong to the process.  An
// interpreter that is not to be kept takes over no pages that others left blocks
// in.  One that was told later may have, and such pages are kept whole.
//
// PIMALLOC_POISON puts handlers of SIGSEGV and SIGBUS in front of those that are
// there, once, at its first use.  Handlers that come later must pass on what is
// not theirs.
//
// Any thread, no GIL.  Returns 0; or, with nothing changed:
//   -EINVAL   no such policy
//   -ENOENT   no interpreter with that id is alive and has allocated, or pimalloc
//             was never installed
//   -ENOTSUP  the main interpreter, or one that shares its memory; or
//             PIMALLOC_RELEASE before CPython 3.14, where blocks are used after
//             the interpreter that allocated them ended
PIMALLOC_EXPORT int pimalloc_policy_set(int64_t interp, int policy);

// What PIMALLOC_POISON and PIMALLOC_RELEASE did in this process so far.
typedef struct pimalloc_teardown {
    size_t size;              // sizeof(pimalloc_teardown), set by the caller
    uint64_t released_blocks; // live ones that went back, ever
    uint64_t released_bytes;
    uint64_t poisoned_blocks; // live ones that are inaccessible now
    uint64_t poisoned_bytes;
    uint64_t late_frees; // of blocks of interpreters that had ended, ever
} pimalloc_teardown;

// Any thread, no GIL.  Returns 0, or -EINVAL: out->size is not one this version
// knows.
PIMALLOC_EXPORT int pimalloc_teardown_stats(pimalloc_teardown *out);

// --- memory ----------------------------------------------------------------

// Gives back to the system at once what an interpreter and the process hold and do
// not use: free pages, arenas kept warm, the memory of freed large blocks, raw blocks
// that the calling thread keeps for its next requests, mimalloc's free memory.
// PIMALLOC_EACH: of all interpreters; PIMALLOC_PROCESS: of the process alone.
//
// Of the caller's own interpreter, all that is free goes at once.  Of another one,
// the pages that nobody has cut go at once, while threads that come to a slow path of
// the allocator wait; empty pages that it keeps for its next requests go when it next
// comes to such a path itself.
//
// Without a call memory goes by itself about half a second after it became free, at
// the next allocation that needs a new page.  With PIMALLOC_PURGE_THREAD=1 a thread
// sees to that once in half a second, so what has been free for a second is gone
// although nobody allocates: but for what an interpreter keeps for its next requests,
// about 2 MiB and an eighth of what it uses, which waits for these.
//
// Returns the bytes but for mimalloc's, which does not count them; 0 if pimalloc was
// never installed.  Any thread; if one is attached to an interpreter, with its GIL.
PIMALLOC_EXPORT size_t pimalloc_trim(int64_t interp);

// Prepares for forking children that share their memory with this process: gives
// free memory back, and takes the pages that have some free blocks out of use, until
// they are empty.  So this process and its children allocate from fresh pages, where
// new blocks lie side by side, and write to fewer of those that they share.  What is
// free in pages out of use is lost meanwhile.
//
// Call it once, before the first fork and after what is shared was set up; after
// gc.collect() and gc.freeze(), which keep the collector from writing to it.  Any
// thread; of the interpreters, the one that the caller is attached to is meant.
// Returns 0, or -ENOENT: pimalloc was never installed.
PIMALLOC_EXPORT int pimalloc_prefork_freeze(void);

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

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_TENANTS_H
