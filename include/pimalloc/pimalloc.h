// pimalloc.h -- the public interface of pimalloc, a per-interpreter memory
// allocator for CPython 3.12 to 3.15.
//
// Compiles as C11 and as C++17 and does not need Python.h.  Every struct that is
// passed to a function starts with its own size, set by the caller, so that later
// versions can add members without breaking programs that were built before.
//
// No function here may be called from a signal handler.
//
// Order of calls in an embedding program (docs/embedding.md has the whole story):
//
//     Py_PreInitialize(&preconfig);
//     int err = pimalloc_install(NULL);         // 0, or a negative errno
//     if (err != 0) {
//         fprintf(stderr, "%s\n", pimalloc_strerror(err));  // Python still works
//     }
//     Py_InitializeFromConfig(&config);
//
// Units: every "bytes" figure counts usable bytes, that is, the size of the
// block that serves a request, which for small requests is the request rounded
// up to its size class (16 bytes apart up to about half a KiB, then eight
// classes to a doubling).

#ifndef PIMALLOC_PIMALLOC_H
#define PIMALLOC_PIMALLOC_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PIMALLOC_VERSION_MAJOR 0
#define PIMALLOC_VERSION_MINOR 1
#define PIMALLOC_VERSION_PATCH 0

// One number to compare, for example 0.1.0 is 100 and 1.2.3 is 10203.
#define PIMALLOC_VERSION                                                       \
    (PIMALLOC_VERSION_MAJOR * 10000 + PIMALLOC_VERSION_MINOR * 100 +           \
     PIMALLOC_VERSION_PATCH)

#if defined(__GNUC__)
#    define PIMALLOC_EXPORT __attribute__((visibility("default")))
#else
#    define PIMALLOC_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

// The process itself, where an interpreter id is asked for: threads without a
// thread state, and what ended interpreters left behind.
#define PIMALLOC_PROCESS ((int64_t)-1)

// CPython's allocation domains; the values are those of PyMemAllocatorDomain.
enum pimalloc_domain {
    PIMALLOC_RAW = 0, // PyMem_RawMalloc(): any thread, no thread state needed
    PIMALLOC_MEM = 1, // PyMem_Malloc(): under a GIL
    PIMALLOC_OBJ = 2, // PyObject_Malloc(): under a GIL
    PIMALLOC_DOMAINS = 3
};

// Where an interpreter is in its life.
enum pimalloc_state {
    PIMALLOC_ALIVE = 1, // it has a heap and may allocate
    PIMALLOC_ENDED = 2, // its memory was given back, except what was left live
};

// What pimalloc_install() may be told.  Zero means "the default" everywhere;
// an environment variable wins over a default and loses against a value set
// here (docs/embedding.md lists both).
typedef struct pimalloc_config {
    size_t size; // sizeof(pimalloc_config), set by the caller

    // How many bytes of address space small-block arenas may take in one place;
    // 0: 256 GiB.  None are reserved: an arena is mapped when it is needed.  Beyond
    // this, arenas lie where the system has room, and frees there take a step
    // more.  What the first successful install chose stays.
    size_t region_bytes;

    // Path of the libmimalloc to load; NULL: the one in the process if it is
    // new enough, else the one installed beside pimalloc (pimalloc/ in its own
    // directory), else the system's.  Loaded once in a process.  In a process with
    // raised privileges (AT_SECURE) a path must be absolute, and the one beside
    // pimalloc is taken only if libpimalloc is a shared library and nobody but root
    // could have put it there.
    const char *mimalloc_path;

    // What becomes of what interpreters leave: enum pimalloc_policy of
    // <pimalloc/tenants.h>, for those to come; 0: what is set already, at first
    // PIMALLOC_KEEP.
    int teardown;
} pimalloc_config;

// Figures of one domain of one interpreter.  A block freed by a thread that
// does not hold the owner's GIL leaves `live` at once and stays part of what
// `peak` is computed from until the owner next needs new blocks of some size class.
//
// A raw block is in the account of the interpreter whose thread state was current
// when it was allocated, if that had made a mem or object request before; else in
// that of the process.  Threads without a thread state count apart: the process's
// live raw figures are exact whenever none of them is in a raw function, and its
// raw peaks may be off, either way, by 381 KiB and 2,000 blocks for each of them,
// and too high by what ended interpreters left.
typedef struct pimalloc_usage {
    uint64_t live_bytes;
    uint64_t live_blocks;
    uint64_t peak_bytes;  // highest live_bytes since the interpreter began, as
                          // seen by who reads it and each time that a 64th of
                          // live_bytes, at least 4 KiB and at most 64 KiB, was
                          // allocated
    uint64_t peak_blocks; // highest live_blocks seen then
    uint64_t
        total_bytes; // allocated since the interpreter began, freed or not;
                     // a block that grows in place counts what it grew by
    uint64_t total_blocks; // the same in blocks
} pimalloc_usage;

// A snapshot of one interpreter, or of the process.
typedef struct pimalloc_snapshot {
    size_t size;         // sizeof(pimalloc_snapshot), set by the caller
    int64_t interp;      // CPython's id, or PIMALLOC_PROCESS
    uint32_t state;      // enum pimalloc_state
    uint32_t generation; // counts the runtimes (Py_Initialize) of this process
    pimalloc_usage domain[PIMALLOC_DOMAINS]; // indexed by enum pimalloc_domain
    uint64_t arenas;                         // small-block arenas held
    uint64_t pages;                          // small-block pages open
    uint64_t committed_bytes; // arena memory not given back to the system (an
                              // upper bound of what is resident), plus the
                              // usable bytes of live large blocks and what
                              // is kept of freed ones
    uint64_t remote_frees;    // blocks freed by non-owners so far
    uint64_t raw_is_libc;     // process only: 1 if raw is served by libc's
                              // malloc: with CPython 3.12 and 3.13 and debug
                              // builds, which bypass us at times (what libc
                              // frees past us stays in its account); and always
                              // with the preload library
    int64_t parent;           // whose limit it counts for beside its own
                              // (pimalloc/tenants.h), or PIMALLOC_PROCESS
    uint64_t tree_bytes; // live bytes of all that counts for its limit: its
                         // own of all domains, and those of others
} pimalloc_snapshot;

// Installs pimalloc as CPython's raw, mem and object allocator.
//
// Call it between Py_PreInitialize() and Py_InitializeFromConfig(), in every
// initialisation of a process that has several: Python resets its allocators
// at each.  Calling it before Py_PreInitialize() works in the first cycle if
// PyPreConfig.allocator stays PYMEM_ALLOCATOR_NOT_SET and PYTHONMALLOC and
// development mode are off.  One thread at a time; no GIL.
//
// The libpython that is served stays loaded until the process ends, whatever the
// program closes, and so does the module that pimalloc is in.
//
// config: NULL for the defaults.  Returns 0, or with nothing changed:
//   -EALREADY  pimalloc is installed already
//   -EBUSY     Python runs already; or this is a forked child that lives on libc's
//              malloc, because a thread changed the allocator at that moment
//   -ENOTSUP   a free-threaded build of Python; or config->teardown is
//              PIMALLOC_RELEASE and Python is older than 3.14, or it is that or
//              PIMALLOC_POISON and Python is 3.14.0, whose interpreters are not
//              seen to end
//   -ENOSYS    Python is older than 3.12, or no Python can be seen in the process
//   -ENOENT    libmimalloc was not found
//   -EPROTO    the libmimalloc found is older than 3.6, lacks functions or does not
//              pass a test
//   -EINVAL    config->size is not one this version knows, or there is no policy
//              config->teardown
//   -ENOMEM    no address space for mimalloc or for an arena
PIMALLOC_EXPORT int pimalloc_install(const pimalloc_config *config);

// Whether CPython's three domains are served by pimalloc: 1, or 0 (never
// installed, or reset by a later Py_Initialize, PYTHONMALLOC or -X dev; in a
// forked child that lives on libc's malloc, too).  What somebody sets on top
// later (debug hooks, tracemalloc, a profiler) is taken to pass requests on.  Of
// raw it is seen if none does: 0 then.  Of the other domains that cannot be seen
// from here.  Any thread, no GIL.
PIMALLOC_EXPORT int pimalloc_active(void);

// A sentence that says what went wrong and what to do about it, for a value
// that pimalloc_install() returned.  Never NULL.  The text of the last failure
// may name a file or a version and stays valid until the next install; other
// texts are static.  Any thread.
PIMALLOC_EXPORT const char *pimalloc_strerror(int err);

// The version of the library in the process, coded as PIMALLOC_VERSION.
PIMALLOC_EXPORT int pimalloc_version(void);

// Writes up to `capacity` ids of the interpreters that are known and returns how
// many that are (which may be more): first the ended ones in the order of their
// end, then the living in the order of their birth.  An ended interpreter stays
// known until 64 others have ended after it.  Legacy interpreters
// (Py_NewInterpreter, use_main_obmalloc) share main's memory, are part of its
// figures and not listed.  `ids` may be NULL if capacity is 0.  Any thread, no
// GIL.
PIMALLOC_EXPORT size_t pimalloc_interpreters(int64_t *ids, size_t capacity);

// Fills *out for one interpreter, or for PIMALLOC_PROCESS.  Of an ended
// interpreter the live figures tell what was left when it ended; its blocks
// are part of the process's figures from then on.  If ids repeat because
// Python was initialised again, the newest is meant.
//
// Any thread, no GIL; takes a lock that no allocation fast path takes.
// Figures of a running interpreter are each exact at some moment of the call.
// For the id of a legacy interpreter out->interp is 0: the figures are main's.
// Returns 0, -ENOENT (no such interpreter, or never installed), or -EINVAL
// (out->size is not one this version knows).
PIMALLOC_EXPORT int pimalloc_stats(int64_t interp, pimalloc_snapshot *out);

// Prints all that pimalloc_stats() knows as an aligned table; NULL is stderr.  Its
// first line says how many threads read their thread state from memory and how
// many ask CPython for it at each request.
// The text is that of PIMALLOC_TEXT below, for which the same holds, but for a
// non-blocking descriptor, where a part may be lost.  Flushes the stream.
PIMALLOC_EXPORT void pimalloc_stats_print(FILE *out);

// Forms of the figures; docs/statistics.md describes each.
enum pimalloc_format {
    PIMALLOC_TEXT = 0,        // an aligned table for people
    PIMALLOC_JSON = 1,        // one object, docs/statistics.schema.json
    PIMALLOC_OPENMETRICS = 2, // OpenMetrics 1.0, text exposition
};

// Writes all figures to a file descriptor, in one of the forms above.  The
// interpreters in it are those of one moment, also where ids repeat because
// Python was initialised again.  If pimalloc was never installed, the document
// is valid and says so.
//
// Any thread, no GIL.  Allocates nothing from Python; a little from libc's
// malloc while it runs.  Waits where the descriptor makes a writer wait, also if
// it is non-blocking.  Raises no SIGPIPE.
// Returns 0, -EINVAL (no such format), -ENOMEM, or what write(2) failed with
// as a negative errno, such as -ENOSPC; then a part may have been written.
PIMALLOC_EXPORT int pimalloc_stats_write(int fd, int format);

// Writes all figures to a file that is whole at any moment: to a temporary file
// in the same folder, which then takes the place of `path`.  On failure the old
// file is as it was and the temporary one is gone.  The file is a new one each
// time (mode 0666 without the umask, owned by the process) and is not synced to
// the disk.  Saves of one path at the same time, by threads or processes, leave
// one of the documents.
//
// path: every "%p" in it stands for the id of the process and every "%%" for a
// per cent sign; with %p, all samples of PIMALLOC_OPENMETRICS have a label `pid`,
// so that files of several processes can be read together.  A symbolic link is
// followed, also to a file that is not there yet.  What is not a regular file (a
// device, a pipe), and the file that stdout or stderr goes to, is written to and
// not replaced.  In a sticky folder that all may write to (/tmp), links and pipes
// of others than the process's user and the folder's owner are refused: -EACCES.
//
// Threads as above.  Returns 0, -EINVAL (no such format, or an empty path),
// -ENOMEM, -ENAMETOOLONG, -EACCES, or what open(2), write(2), close(2) or
// rename(2) failed with as a negative errno.
PIMALLOC_EXPORT int pimalloc_stats_save(const char *path, int format);

// Tells which interpreter's memory a block is in: its id in *interp, or
// PIMALLOC_PROCESS for what an ended interpreter left and for what was allocated
// without a thread state.  `address` may lie anywhere in a block of
// up to 32,816 bytes, and must be the start of a larger one; it must be readable.
// An object's block may begin in front of the object (the collector's header and
// others).  Returns 0, or -ENOENT: no block lies there, or it is raw and raw is
// not pimalloc's own (raw_is_libc).  The block must not be freed meanwhile.  Any
// thread, no GIL.
PIMALLOC_EXPORT int pimalloc_owner(const void *address, int64_t *interp);

#ifdef __cplusplus
}
#endif

#endif // PIMALLOC_PIMALLOC_H
