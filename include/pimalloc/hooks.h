// hooks.h -- functions of your own around the requests that pimalloc serves.
//
//     static void *
//     count(void *ctx, const pimalloc_next *next, size_t size, int zero)
//     {
//         atomic_fetch_add((atomic_ulong *)ctx, 1);
//         return pimalloc_next_alloc(next, size, zero);
//     }
//
//     pimalloc_hook hook = {.size = sizeof(hook), .name = "count",
//                           .ctx = &counter, .alloc = count};
//     int handle = pimalloc_hook_push(&hook, PIMALLOC_EACH);
//     ...
//     pimalloc_hook_pop(handle);
//
// Hooks form a chain: the one that was pushed last is asked first, and decides
// whether and how those behind it are.  CPython's tables stay as they are, so
// tracemalloc, debug hooks and other layers work above, set before or after.
// While no hook is on, requests cost what they cost without this header.
//
// A hook is of one interpreter or of all.  It sees each request made under that
// interpreter, and each free and resize of its blocks, whoever asks for it.
// Blocks that were there before it came are freed past it as well: a hook that
// keeps records must expect frees of blocks that it has not seen.
//
// **Inside a hook** do not allocate through CPython (a request made there is
// served and not seen), run Python code, take or give up a GIL, set or clear an
// error, fork, or block.  Frames are read by borrowed fields only.  Any thread
// comes, several at once, with or without a thread state.
//
// A hook of an interpreter is switched off when another runtime begins, in which
// ids begin anew.  While a hook is on, pimalloc's callbacks (of limits, of what an
// interpreter left) run inside the chain: there the functions below are refused.
//
// Legacy interpreters share main's heap and are seen as main.  The raw domain
// belongs to interpreters from CPython 3.14 on; before, its blocks are the
// process's.  And up to 3.13 CPython swaps that domain's functions for moments,
// in which nobody sees them.
//
// Compiles as C11 and as C++17 and does not need Python.h.

#ifndef PIMALLOC_HOOKS_H
#define PIMALLOC_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#include "pimalloc/pimalloc.h"
#include "pimalloc/tenants.h"

#ifdef __cplusplus
extern "C" {
#endif

// What comes behind a hook, for one request.  Valid until the hook returns.
typedef struct pimalloc_next pimalloc_next;

// Functions that are NULL are passed over.
typedef struct pimalloc_hook {
    size_t size;      // sizeof(pimalloc_hook)
    const char *name; // for people; stays valid while the hook is in the chain
    void *ctx;        // the first argument of all that follows

    // malloc(size), or calloc() of that many bytes in all.  Returns a block that
    // pimalloc_next_alloc() gave, not an address within one: by that it is known
    // whose a block is when it is freed.  NULL: the caller gets MemoryError.
    void *(*alloc)(void *ctx, const pimalloc_next *next, size_t size, int zero);

    // realloc() of a block, which is not NULL.  NULL: the block is as it was.
    void *(*resize)(void *ctx, const pimalloc_next *next, void *block,
                    size_t size);

    // free() of a block, which is not NULL.
    void (*free)(void *ctx, const pimalloc_next *next, void *block);

    // An interpreter is known from now on, before its first block; or it has
    // ended.  kept: what it left is the process's; else all but raw blocks is
    // gone, without frees (enum pimalloc_policy).  Others may have reused memory
    // of its by then.  No lock is held.
    void (*interp_born)(void *ctx, int64_t interp);
    void (*interp_ended)(void *ctx, int64_t interp, int kept);

    // In a forked child, by its only thread, before fork() returns there.  No
    // other thread is in the hook any more; what it was at is half done.  Here
    // the chain may be changed.
    void (*forked)(void *ctx);
} pimalloc_hook;

// Asks what comes behind the hook, and in the end the allocator.  From within
// the hook's functions, any number of times, with any sizes.
PIMALLOC_EXPORT void *pimalloc_next_alloc(const pimalloc_next *next,
                                          size_t size, int zero);
PIMALLOC_EXPORT void *pimalloc_next_resize(const pimalloc_next *next,
                                           void *block, size_t size);
PIMALLOC_EXPORT void pimalloc_next_free(const pimalloc_next *next, void *block);

// Of the request: its domain (enum pimalloc_domain), and the interpreter that
// answers for the block; PIMALLOC_PROCESS: none does.
PIMALLOC_EXPORT int pimalloc_next_domain(const pimalloc_next *next);
PIMALLOC_EXPORT int64_t pimalloc_next_interp(const pimalloc_next *next);

// So many hooks may be in the chain.
#define PIMALLOC_HOOKS_MAX 16

// Puts a copy of the hook in front of the chain, switched on.  `interp` is an
// interpreter's id, PIMALLOC_PROCESS for what no interpreter answers for, or
// PIMALLOC_EACH for all of these, those to come included.  An id may be one of
// an interpreter that is to come.
//
// Returns a handle, which is positive; -EINVAL (no name, a size that this
// version does not know, or such an id), -ENOSPC (too many), -ENOENT (pimalloc
// is not installed), -EDEADLK (called inside a hook), -EBUSY (nothing was
// changed, for another change waits for a hook that does not return: call again).
//
// Any thread, with a GIL or without; not in a signal handler.
PIMALLOC_EXPORT int pimalloc_hook_push(const pimalloc_hook *hook,
                                       int64_t interp);

// Switches a hook on (1) or off (0), at any moment.  0: no thread is in a hook
// that was switched off; -ENOENT: no such handle; -EDEADLK, -EBUSY as above;
// -ETIMEDOUT as below.
PIMALLOC_EXPORT int pimalloc_hook_toggle(int handle, int on);

// Takes a hook out, wherever it is in the chain.  When this returns 0, no thread
// is in it and none will be.  -ENOENT: no such handle; -EDEADLK, -EBUSY as above;
// -ETIMEDOUT: it is out, but a thread that was in it may still be: keep its ctx.
PIMALLOC_EXPORT int pimalloc_hook_pop(int handle);

// --- faults ----------------------------------------------------------------
//
// Requests that fail on purpose, so that a program's error paths are tested
// (docs/faults.md).
//
//     pimalloc_fault fault = {.size = sizeof(fault), .every = 100,
//                             .interp = interp, .domains = PIMALLOC_FAULT_OBJ};
//     int handle = pimalloc_fault_add(&fault);
//     ...
//     pimalloc_fault_remove(handle, &matched, &failed);
//
// A request that is failed is answered with NULL, from which CPython makes
// MemoryError; a block that could not grow is as it was.  malloc, calloc and a
// realloc that needs more than the block has may fail; other reallocs and frees
// never do.
//
// What CPython does not survive neither fails nor counts: requests before Python
// is initialised and from Py_Finalize on; those of an interpreter that is being
// made, but for the first one, of its state, where CPython can be told so (from
// 3.13.8 on, without a thread state); raw requests for the notes of tracemalloc
// and its like; and requests made while an error is set, which may be CPython's
// work on that error.

// One rule.  Exactly one of nth, every and probability is not 0.
typedef struct pimalloc_fault {
    size_t size;        // sizeof(pimalloc_fault)
    uint64_t nth;       // of the requests that match, this one fails, once
    uint64_t every;     // each so-manieth fails
    double probability; // each fails with that probability, up to 1
    uint64_t seed; // which ones then: the nth that matches depends on it and
                   // on n alone

    // What matches.
    int64_t interp;       // an id, which may be to come; PIMALLOC_EACH: all,
                          // but not the process; PIMALLOC_PROCESS: the process
    unsigned domains;     // 1 << enum pimalloc_domain, or several; 0: all
    size_t min_size;      // bytes asked for
    size_t max_size;      // 0: no bound
    const char *function; // only while a function of that qualified name is
                          // among the newest PIMALLOC_FAULT_FRAMES on the
                          // thread's Python stack; NULL: always
} pimalloc_fault;

#define PIMALLOC_FAULT_RAW (1u << PIMALLOC_RAW)
#define PIMALLOC_FAULT_MEM (1u << PIMALLOC_MEM)
#define PIMALLOC_FAULT_OBJ (1u << PIMALLOC_OBJ)

#define PIMALLOC_FAULT_FRAMES 256
#define PIMALLOC_FAULT_NAME_MAX 255 // bytes of function

// Adds a rule, of which it copies all.  Each is a hook of its own: of several the
// newest is asked first, and what it fails the others do not see.  When the
// interpreter of a rule ends, the rule stays and matches nothing any more.  A
// forked child has the rules, and counts on by itself.
//
// Returns a handle, which is positive; -EINVAL (a size that this version does
// not know, none or several of nth, every and probability, no such interpreter
// or domain, an empty range of sizes, a name that is empty or too long),
// -ENOTSUP (function, and pimalloc_fault_refusal() says why not), or what
// pimalloc_hook_push() returns.
//
// Any thread, without a GIL or with one; with `function` with one, in Python
// code.  Not while CPython makes the interpreter.
PIMALLOC_EXPORT int pimalloc_fault_add(const pimalloc_fault *fault);

// Takes a rule out.  Then no request fails by it, and *matched and *failed, which
// may be NULL, have the last counts.  0; -ENOENT: no such rule; -EDEADLK: called
// inside a hook; -EBUSY, -ETIMEDOUT: a thread does not leave a hook; call again.  Threads as
// above.
PIMALLOC_EXPORT int pimalloc_fault_remove(int handle, uint64_t *matched,
                                          uint64_t *failed);

// How many requests matched a rule so far, and how many of them failed.  0;
// -ENOENT.  Threads as above.
PIMALLOC_EXPORT int pimalloc_fault_counts(int handle, uint64_t *matched,
                                          uint64_t *failed);

// Why no rule can have a function: a sentence without a full stop; NULL: it can.
// Threads as above.
PIMALLOC_EXPORT const char *pimalloc_fault_refusal(void);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_HOOKS_H
