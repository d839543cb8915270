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

// All interpreters, or those to come, where an interpreter id is asked for.
#define PIMALLOC_EACH ((int64_t)-2)

// --- accounts ----------------------------------------------------------------

// Figures of one size class of one domain.
typedef struct pimalloc_class {
    size_t size;          // sizeof(pimalloc_class)
    uint64_t block_bytes; // of each block; 0 for the last two classes, below
    pimalloc_usage usage;
} pimalloc_class;

// Fills out[0..capacity) with the size classes of one domain (enum
// pimalloc_domain) of one interpreter, or of PIMALLOC_PROCESS, the smallest first,
// and returns how many there are.  The caller sets out[0].size; `out` may be NULL
// if capacity is 0.
//
// All classes are there, also those without a block.  The last two have blocks of
// many sizes: spans of arena space (above 32,816 bytes and up to 1 MiB), and large
// blocks outside the arenas.  A block is in one class, so that live and total
// figures of the classes add up to those of the domain (pimalloc_stats()) whenever
// nobody allocates; peaks of classes come at different moments.
//
// What is read is as pimalloc_stats() reads it: in constant time, while the
// interpreter runs, each figure exact at some moment of the call; of an ended
// interpreter what it left, its peaks and totals, until 64 others have ended.  What
// an ended interpreter left is live in the process's figures from then on, and was
// allocated in its own.
//
// Raw blocks are spans nowhere: above 32,816 bytes they are large ones, and where
// they are libc's or a preloaded mimalloc's they all are.  Of PIMALLOC_PROCESS, those
// that were allocated without a thread state are counted with what threads keep at
// hand, or in no class: there the classes do not add up to the domain.
//
// Any thread, no GIL.  Errors: -ENOENT (no such interpreter, or never installed),
// -EINVAL (no such domain, or a size that this version does not know).
PIMALLOC_EXPORT int pimalloc_classes(int64_t interp, int domain,
                                     pimalloc_class *out, size_t capacity);

// --- limits ------------------------------------------------------------------

// A request that was refused because of a limit.  The callback reads it during
// the call.
typedef struct pimalloc_refusal {
    size_t size;    // sizeof(pimalloc_refusal)
    int64_t interp; // whose limit it is; main's id for a legacy interpreter
    int domain;     // enum pimalloc_domain
    int is_hard;    // 1: it would have exceeded the hard limit
    uint64_t bytes; // usable bytes asked for
    uint64_t live_bytes; // what counted for the limit then, of all domains
    uint64_t soft_bytes; // the limits; 0: none
    uint64_t hard_bytes;
    uint64_t refusals; // by this limit so far, with this one
    int64_t asked_by;  // that interpreter, or one that counts for it
} pimalloc_refusal;

// Called once for each refused request, in the thread that asked, which has the
// thread state of `asked_by` attached (its GIL held), but where an interpreter
// cannot be made: then it may have none.  No lock of pimalloc's is held.  It runs
// inside an allocation: it must not call Python, nor allocate or free in Python's
// domains, and returns soon.  Interpreters that count for the same one may call it at
// once.  It may call the functions of this header and of pimalloc.h that say so;
// changed limits are for the next request.
typedef void (*pimalloc_limit_callback)(void *arg,
                                        const pimalloc_refusal *refusal);

// Limits the live bytes of an interpreter and of all that count for it, of all
// domains together (pimalloc_stats()), raw ones included.  0 is no limit.  What is
// asked for without a thread state has none.  The state of an interpreter, a raw
// block, counts for whose thread state is current when it is asked for, if any is.
//
// What counts for an interpreter beside its own: what those have that it made
// (pimalloc_limit_count_made()) or that were told to count for it
// (pimalloc_limit_count_for()), and those that these made; and what such interpreters
// left in mem and obj when they ended, for as long as it lives.  Each of them may have
// a limit of its own as well.
//
//   soft  A request that would take the live bytes above it returns NULL and
//         changes nothing, so that Python raises MemoryError.  Once one was
//         refused, small requests (up to 32,816 bytes) are served beyond it, so
//         that the error can be handled: up to the hard limit, or if there is
//         none, to a sixteenth of `soft` above it, at least 1 MiB.  This reserve
//         closes when the live bytes are as much below `soft`, a sixteenth of it
//         at most, and the next request above `soft` is refused again.
//   hard  Nothing is served that would take the live bytes above it.
//
// Memory that is kept idle does not count and is not given back before a request
// is refused; but where several count together, what the pages that the others have
// open can still serve does.  A map that is kept may serve a request above 1 MiB with
// up to an eighth more than it asked for, which counts.  A block that is moved to grow
// counts twice for a moment.  To free and to shrink always works; a block that is
// moved to shrink may exceed a limit for a moment.
//
// While somebody's allocator is on top of pimalloc's, as tracemalloc is, raw requests
// count and are not refused, but for such as no tracer needs: what it notes in
// raw is needed to go on, and CPython ends the process where tracemalloc cannot note.
//
// interp: an id, also of main (0); PIMALLOC_EACH: those to come, also main if it
// is still to come.  What is set here wins over PIMALLOC_LIMIT in the
// environment.  Legacy interpreters share main's memory and main's limit, but for
// those that another interpreter than main made.
// callback: NULL, or what to call for each refusal; `arg` must stay valid until
// the interpreter and all that count for it have ended, or longer where another thread
// may be in a refusal while it is replaced.
//
// Any thread, no GIL, at any time; takes effect with the next request that does
// not fit in what the interpreter has open already: at once for large ones, and
// for small ones when a page of their size class is used up.  The main interpreter
// keeps its limit when Python is initialised again.  The limit of an interpreter that
// has ended holds for those that count for it, and may be changed, as long as there
// are any.  Returns 0, -ENOENT (no such interpreter, or it has ended and none counts
// for it), or -EINVAL (the process, or a hard limit below the soft one).
PIMALLOC_EXPORT int pimalloc_limit_set(int64_t interp, uint64_t soft_bytes,
                                       uint64_t hard_bytes,
                                       pimalloc_limit_callback callback,
                                       void *arg);

typedef struct pimalloc_limit {
    size_t size;    // sizeof(pimalloc_limit), set by the caller
    int64_t interp; // main's id for a legacy one; PIMALLOC_EACH if asked for
    uint64_t soft_bytes;
    uint64_t hard_bytes;
    uint64_t live_bytes; // its own, of all domains; 0 for PIMALLOC_EACH
    uint64_t refusals;   // by this limit so far; 0 for PIMALLOC_EACH
    pimalloc_limit_callback callback;
    void *arg;
    int64_t parent;      // whom it counts for; PIMALLOC_PROCESS: nobody
    int counts_made;     // 1: what it makes from now on counts for it
    uint64_t tree_bytes; // live in all that counts for it, its own included
    uint64_t left_bytes; // of these, what ended interpreters left
} pimalloc_limit;

// Fills *out for a living interpreter, for one that others still count for, or with
// what those to come get.  Any thread, no GIL.  Returns 0, -ENOENT as above, or
// -EINVAL (the process, or out->size is not one this version knows).
PIMALLOC_EXPORT int pimalloc_limit_get(int64_t interp, pimalloc_limit *out);

// Whether interpreters that one makes from now on count for it, with all that they
// make: 1 or 0.  By default what the main interpreter makes does not, for it is taken
// to be the host, and what any other makes does.  PIMALLOC_EACH: of interpreters to
// come, main apart; wins over PIMALLOC_LIMIT_TREE in the environment.
//
// Whose thread state is current when CPython asks for a new interpreter's state, makes
// it, or if none is, whose was current last in that thread and that lives.  A host
// that makes interpreters in a thread where it ran a tenant has main's thread state
// current meanwhile, or says whom the new one counts for afterwards.
//
// Any thread, no GIL.  Returns 0, -ENOENT (no such interpreter), or -EINVAL (the
// process).
PIMALLOC_EXPORT int pimalloc_limit_count_made(int64_t interp, int count);

// Has an interpreter, with all that count for it, count for `parent` from now on, or
// with PIMALLOC_PROCESS for nobody.  What they have then is not refused afterwards,
// also if it is more than a limit.
//
// Any thread, no GIL.  Returns 0, -ENOENT (no such interpreter, or one that shares
// main's memory), or -EINVAL (the main interpreter, PIMALLOC_EACH, or `parent` counts
// for `interp`).
PIMALLOC_EXPORT int pimalloc_limit_count_for(int64_t interp, int64_t parent);

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
// The domains mem and obj are meant; raw blocks are always kept.  An
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
//             the interpreter that allocated them ended; or, but for
//             PIMALLOC_KEEP, ends of interpreters are not seen: on CPython
//             3.14.0, or because another raw allocator that passes nothing on was
//             set after pimalloc (what was set before counts as PIMALLOC_KEEP)
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
// not use: free pages, retained arenas, the memory of freed large blocks, raw blocks
// that the calling thread keeps for its next requests, mimalloc's free memory.
// PIMALLOC_EACH: of all interpreters; PIMALLOC_PROCESS, or one that does not live: of
// the process alone.
//
// Of the caller's own interpreter, all that is free goes at once.  Of another one,
// the units that no page uses go at once, while threads that come to a slow path of
// the allocator wait; empty pages that it keeps for its next requests go when it next
// comes to such a path itself.
//
// Without a call memory goes by itself within a second after it became free, if the
// interpreter allocates a little meanwhile: some 64 KiB.  With PIMALLOC_PURGE_THREAD=1
// a thread sees to that, so what has been free for a second is gone although nobody
// allocates: but for what an interpreter keeps for its next requests, about 2 MiB and
// an eighth of what it uses, which waits for these.
//
// Less goes if a thread does not leave such a path (pimalloc_walk(): -EAGAIN).
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
// byte and block.  So it is of an interpreter's raw domain, but where raw is libc's or
// a preloaded mimalloc's: such blocks are not visited, nor are raw ones that were
// allocated without a thread state.
//
// Of an interpreter: the caller holds its GIL, by an attached thread state of it, or
// nobody runs it meanwhile.  A small block that another thread frees during the walk
// may be visited all the same, so what a block holds may be read only if nobody
// does.  The id of a legacy interpreter stands for main's, as in pimalloc_stats().
// Of the process: any thread, no GIL needed; threads that come to a slow path of the
// allocator, as any request may, wait until the walk is over.
// Returns 0, what visit() returned, -EINVAL (no visitor), -ENOENT: no such
// interpreter lives, or pimalloc was never installed; or -EAGAIN: of the process,
// while a fork is under way whose handlers wait, or if a thread does not leave such
// a path (in the handler of a signal, say).
PIMALLOC_EXPORT int pimalloc_walk(int64_t interp, pimalloc_visitor visit,
                                  void *arg);

// --- leaks -----------------------------------------------------------------

// What is left of one kind of block.
typedef struct pimalloc_leak {
    const char *type; // name of the objects' type; NULL: they are none, or not
                      // recognised
    int domain;       // PIMALLOC_MEM or PIMALLOC_OBJ
    int size_class;   // as in pimalloc_block
    int is_pythons; // 1: what CPython 3.12 and 3.13 leave of every interpreter,
                    // immortal strings
    uint64_t blocks;
    uint64_t bytes;
} pimalloc_leak;

// What an interpreter left in the domains mem and obj when it ended.  Raw blocks are
// not looked at: many are meant to outlive the interpreter that asked for them.
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
// and legacy ones have no last event and are not told of.  A thread that is ending
// an interpreter meanwhile may still call the one that was set before: `arg` must stay
// valid until then.  Any thread, no GIL.
PIMALLOC_EXPORT void pimalloc_leaks_set(pimalloc_leaks_callback callback,
                                        void *arg);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_TENANTS_H
