// os.h -- what the allocator asks of the operating system.
//
// One table of functions, so that tests can put a fake in its place and fail
// any call.  Conventions: sizes and addresses are multiples of the system's
// page size; a function that returns int returns 0 or a negative errno; a
// function that returns a pointer returns NULL on failure.  None allocates, and
// none changes errno (base/keep_errno.h).

#ifndef PIM_PLATFORM_OS_H
#define PIM_PLATFORM_OS_H

#include "base/compiler.h"

typedef struct pim_os_ops {
    // Gives the memory of a part of a map back and makes it fault.
    int (*decommit)(void *start, size_t bytes);

    // Makes such a part readable and writable again; it reads as zero at first.
    int (*commit)(void *start, size_t bytes);

    // Gives the memory back; the space stays usable and reads as zero.
    int (*reset)(void *start, size_t bytes);

    // A zeroed, writable map of its own.  One of a huge page or more begins at
    // one if the system sees to that for whole numbers of them (Linux 6.7).
    void *(*map)(size_t bytes);

    // The same, aligned to `align` (a power of two).
    void *(*map_aligned)(size_t bytes, size_t align);

    // A zeroed, writable map at an address, which never replaces another map.
    // -EEXIST: there is one, in part at least.
    int (*map_at)(void *start, size_t bytes);

    // Whether the limits of the process leave so many bytes.
    bool (*has_room)(size_t bytes);

    // Grows or shrinks a map, moving it if need be, without copying.  NULL: the
    // old map is as it was.
    void *(*remap)(void *start, size_t old_bytes, size_t new_bytes);

    // Removes a map or a part of one.  If it fails (vm.max_map_count, where a
    // map would become two), the memory is given back all the same.
    int (*unmap)(void *start, size_t bytes);

    // Asks for huge pages in a range; only advice.
    void (*advise_huge)(void *start, size_t bytes);

    // Takes that advice back.
    void (*advise_small)(void *start, size_t bytes);

    // Makes a range resident that is about to be filled; only advice (Linux 5.14).
    void (*populate)(void *start, size_t bytes);

    // Names a range in /proc/PID/maps where the kernel can; else nothing.
    void (*name)(void *start, size_t bytes, const char *name);

    // Milliseconds of a clock that never goes back; coarse and cheap.
    uint64_t (*now_ms)(void);
} pim_os_ops;

extern const pim_os_ops pim_os_linux;

// The table in use.  Written at start and by tests, before any other thread.
extern const pim_os_ops *pim_os;

// The system's page size in bytes.
size_t pim_os_page_size(void);

// Whether an address is the first of a system page, so that what lies in front
// of it may not be mapped.
PIM_INLINE bool
pim_os_begins_page(const void *address)
{
    return (uintptr_t)address % pim_os_page_size() == 0;
}

// Copies memory that may not be mapped, or may go away meanwhile.  False: not
// all of it could be read, or the system forbids to ask (process_vm_readv).
bool pim_os_read(const void *from, void *to, size_t bytes);

// Reads the word in front of a block that is not ours, without a fault.  False:
// it cannot be read.
bool pim_os_read_before(const void *block, uint64_t *word);

#endif // PIM_PLATFORM_OS_H
