// tenants.h -- interpreters as tenants of one process: what a host that runs other
// people's scripts decides about their memory.
//
// Compiles as C11 and as C++17 and does not need Python.h.  Every struct that is
// passed to a function starts with its own size, set by the caller.  No function
// here may be called from a signal handler.

#ifndef PIMALLOC_TENANTS_H
#define PIMALLOC_TENANTS_H

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
//   -ENOENT   no such interpreter is alive, or pimalloc was never installed
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

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_TENANTS_H
