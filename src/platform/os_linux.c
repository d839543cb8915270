// os_linux.c -- pim_os_ops on Linux: mmap and its relatives.

#define _GNU_SOURCE

#include "platform/os.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/config.h"
#include "base/keep_errno.h"
#include "platform/cancel.h"
#include "platform/room.h"

// Linux 4.17; older kernels take the address for a wish.
#ifndef MAP_FIXED_NOREPLACE
#    define MAP_FIXED_NOREPLACE 0x100000
#endif

// Linux 5.17; older kernels answer EINVAL, and are not asked again.
#ifndef MADV_POPULATE_WRITE
#    define MADV_POPULATE_WRITE 23
#endif
#ifndef PR_SET_VMA
#    define PR_SET_VMA 0x53564d41
#    define PR_SET_VMA_ANON_NAME 0
#endif

const pim_os_ops *pim_os = &pim_os_linux;

size_t
pim_os_page_size(void)
{
    static size_t cached; // the same value from whichever thread is first
    size_t size = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (size == 0) {
        PIM_KEEP_ERRNO;
        size = (size_t)sysconf(_SC_PAGESIZE);
        __atomic_store_n(&cached, size, __ATOMIC_RELAXED);
    }
    return size;
}

bool
pim_os_read(const void *from, void *to, size_t bytes)
{
    PIM_KEEP_ERRNO;
    struct iovec here = {.iov_base = to, .iov_len = bytes};
    struct iovec there = {.iov_base = (void *)(uintptr_t)from,
                          .iov_len = bytes};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

// Most blocks share their page with the word in front of them.  For the others
// the kernel reads it, because only the kernel can fail to.
PIM_NO_SANITIZE bool
pim_os_read_before(const void *block, uint64_t *word)
{
    const uint64_t *before = (const uint64_t *)block - 1;
    if (!pim_os_begins_page(block)) {
        *word = *before;
        return true;
    }
    return pim_os_read(before, word, sizeof(*word));
}

// The one function here that leaves errno to its callers.
static void *
linux_map_prot(void *hint, size_t bytes, int prot, int flags)
{
    void *p = mmap(hint, bytes, prot,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int
linux_commit(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    return mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0 ? 0 : -errno;
}

// A fresh map over the old one drops the memory, the commit charge, the name
// and any advice in one call, and lets the kernel merge it with its neighbours.
static int
linux_decommit(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    return linux_map_prot(start, bytes, PROT_NONE, MAP_FIXED) != NULL ? 0
                                                                      : -errno;
}

static int
linux_reset(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    return madvise(start, bytes, MADV_DONTNEED) == 0 ? 0 : -errno;
}

static int
linux_unmap(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    if (munmap(start, bytes) == 0) {
        return 0;
    }
    int err = -errno;
    madvise(start, bytes, MADV_DONTNEED);
    return err;
}

static void *
linux_map(size_t bytes)
{
    PIM_KEEP_ERRNO;
    const int prot = PROT_READ | PROT_WRITE;
    size_t whole = pim_align_up(bytes, PIM_ARENA_SIZE);
    if (bytes > PIM_ARENA_SIZE && whole > bytes) {
        char *start = linux_map_prot(NULL, whole, prot, 0);
        if (start != NULL) {
            linux_unmap(start + bytes, whole - bytes);
            return start;
        }
    }
    return linux_map_prot(NULL, bytes, prot, 0);
}

// A map that is aligned by chance is as good, and takes no more addresses for a
// moment than it keeps.
static void *
linux_map_aligned(size_t bytes, size_t align)
{
    PIM_KEEP_ERRNO;
    const int prot = PROT_READ | PROT_WRITE;
    char *start = linux_map_prot(NULL, bytes, prot, 0);
    if (start == NULL || (uintptr_t)start % align == 0) {
        return start;
    }
    munmap(start, bytes);
    start = linux_map_prot(NULL, bytes + align, prot, 0);
    if (start == NULL) {
        return NULL;
    }
    char *aligned = (char *)pim_align_up((size_t)start, align);
    if (aligned != start) {
        munmap(start, (size_t)(aligned - start));
    }
    munmap(aligned + bytes, (size_t)(start + align - aligned));
    return aligned;
}

static int
linux_map_at(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    void *p = linux_map_prot(start, bytes, PROT_READ | PROT_WRITE,
                             MAP_FIXED_NOREPLACE);
    if (p == NULL) {
        return -errno;
    }
    if (p != start) {
        munmap(p, bytes);
        return -EEXIST;
    }
    return 0;
}

static bool
linux_has_room(size_t bytes)
{
    PIM_KEEP_ERRNO;
    PIM_NO_CANCEL;
    return pim_limits_leave(bytes);
}

static void *
linux_remap(void *start, size_t old_bytes, size_t new_bytes)
{
    PIM_KEEP_ERRNO;
    void *p = mremap(start, old_bytes, new_bytes, MREMAP_MAYMOVE);
    return p == MAP_FAILED ? NULL : p;
}

static void
linux_advise_huge(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    madvise(start, bytes, MADV_HUGEPAGE);
}

static void
linux_advise_small(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    madvise(start, bytes, MADV_NOHUGEPAGE);
}

static void
linux_populate(void *start, size_t bytes)
{
    PIM_KEEP_ERRNO;
    static _Atomic bool is_refused; // by this kernel, or in this sandbox
    if (!pim_load_relaxed(&is_refused) &&
        madvise(start, bytes, MADV_POPULATE_WRITE) != 0 && errno != ENOMEM &&
        errno != EAGAIN && errno != EINTR) {
        pim_store_relaxed(&is_refused, true);
    }
}

static void
linux_name(void *start, size_t bytes, const char *name)
{
    PIM_KEEP_ERRNO;
    static _Atomic bool is_unknown; // to this kernel
    if (!pim_load_relaxed(&is_unknown) &&
        prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, bytes, name) != 0) {
        pim_store_relaxed(&is_unknown, errno == EINVAL);
    }
}

static uint64_t
linux_now_ms(void)
{
    PIM_KEEP_ERRNO;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const pim_os_ops pim_os_linux = {
    .commit = linux_commit,
    .decommit = linux_decommit,
    .reset = linux_reset,
    .map = linux_map,
    .map_aligned = linux_map_aligned,
    .map_at = linux_map_at,
    .has_room = linux_has_room,
    .remap = linux_remap,
    .unmap = linux_unmap,
    .advise_huge = linux_advise_huge,
    .advise_small = linux_advise_small,
    .populate = linux_populate,
    .name = linux_name,
    .now_ms = linux_now_ms,
};
