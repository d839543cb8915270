// mi.h -- the one door to libmimalloc.
//
// The library is loaded with dlopen, RTLD_LOCAL, into a table of functions
// (ops.h): as a plain dependency it would make every C++ extension loaded later
// take operator new and delete from mimalloc while malloc stays with libc.
//
// Callers are inside the gate (platform/gate.h): mimalloc re-initialises no
// lock in a forked child, so no thread may be in it at fork().  It sleeps where
// it waits for another thread, and writes messages, so threads cannot be
// cancelled in it (platform/cancel.h).

#ifndef PIM_MI_MI_H
#define PIM_MI_MI_H

#include "base/atomic.h"
#include "mi/ops.h"
#include "platform/cancel.h"

// What must be there when a mimalloc is started, which ends the process if it
// finds too little (3.7).  It maps a part of it; a Python that has no more for
// itself is better off without us.
#define PIM_MI_START_BYTES ((size_t)16 << 20)
#define PIM_MI_START_MAPS 16

// Filled by pim_mi_load(); tests replace single entries.
extern pim_mi_ops pim_mi;

// Like ucalloc(), or umalloc() without `zero`.
PIM_INLINE void *
pim_mi_malloc(size_t size, bool zero, size_t *block_size)
{
    PIM_NO_CANCEL;
    return zero ? pim_mi.ucalloc(1, size, block_size)
                : pim_mi.umalloc(size, block_size);
}

// Loads libmimalloc once; later calls answer like the first success.
//
// path: the library to take and no other, or NULL for the search order of
// pimalloc_config.mimalloc_path.  Returns 0, -ENOENT, -EPROTO or -ENOMEM; then
// `why` says in one sentence what was tried.  One thread at a time.
int pim_mi_load(const char *path, char *why, size_t why_size);

// Whether pim_mi_prepare() was called, or need not be.
extern _Atomic bool pim_mi_is_prepared;

// Before the first block that is asked for, for a mimalloc's arenas are large.
// Any thread; takes a lock that stands alone.
void pim_mi_prepare(void);

// mi_version() of the loaded library, 0 before.
int pim_mi_version(void);

// Whether the loaded library is also the process's malloc.
bool pim_mi_is_process_malloc(void);

#endif // PIM_MI_MI_H
