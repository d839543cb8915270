// room.c -- see room.h.  In the launcher, too, so without pim_os.

#define _GNU_SOURCE

#include "platform/room.h"

#include <sys/mman.h>
#include <unistd.h>

// By trying, for no limit tells what is left of it.
static char *
map(size_t bytes, int prot)
{
    void *start = mmap(NULL, bytes, prot,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

bool
pim_has_addresses(size_t bytes)
{
    char *start = map(bytes, PROT_NONE);
    return start != NULL && munmap(start, bytes) == 0;
}

// Whether each new map has all its memory at once: after mlockall(MCL_FUTURE).  That
// is to be known before much is mapped for a trial.
static bool
are_maps_filled(void)
{
    unsigned char resident = 0;
    char *start = map(1, PROT_READ | PROT_WRITE);
    if (start != NULL) {
        if (mincore(start, 1, &resident) != 0) {
            resident = 1; // to be on the safe side
        }
        munmap(start, 1);
    }
    return resident & 1;
}

// Pages of two kinds in turn are as many maps.
bool
pim_has_room(size_t bytes, unsigned maps)
{
    // Memory that nobody may touch is not filled, and counts for all limits but that
    // of data.
    char *start =
        map(bytes, are_maps_filled() ? PROT_NONE : PROT_READ | PROT_WRITE);
    if (start == NULL) {
        return false;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bool has_room = true;
    for (size_t i = 1; i < maps && has_room; i += 2) {
        has_room = mprotect(start + i * page, page, PROT_READ) == 0;
    }
    munmap(start, bytes);
    return has_room;
}
