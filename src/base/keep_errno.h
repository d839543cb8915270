// keep_errno.h -- errno stays what it was.
//
// CPython and extension modules free memory between a call that failed and
// their look at errno: os.getgroups() frees its buffer before it raises.
// glibc's free() has kept errno since 2.33.
//
// ERRNO-1  No free of ours changes errno, and no malloc, calloc or realloc that
//          succeeds.
//
// Whoever asks the system, libc's or mimalloc's malloc, or a function of the
// program says PIM_KEEP_ERRNO in front.  The fast paths ask nobody, so they
// need not.  Mutexes are exempt: neither glibc nor musl sets errno in them.

#ifndef PIM_BASE_KEEP_ERRNO_H
#define PIM_BASE_KEEP_ERRNO_H

#include <errno.h>

#include "base/compiler.h"

PIM_INLINE void
pim_errno_put_back(const int *kept)
{
    errno = *kept;
}

// A declaration: errno becomes again what it is here when the block is left.
#define PIM_KEEP_ERRNO                                                         \
    __attribute__((unused, cleanup(pim_errno_put_back)))                       \
    const int pim_kept_errno = errno

#endif // PIM_BASE_KEEP_ERRNO_H
