// room.c -- see room.h.  In the launcher, too, so without pim_os.

#define _GNU_SOURCE

#include "platform/room.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

// Pages of two kinds in turn are as many maps.
bool
pim_has_room(size_t bytes, unsigned maps)
{
    char *start = map(bytes, PROT_READ | PROT_WRITE);
    if (start == NULL) {
        return false;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bool has_room = true;
    for (size_t i = 1; i < maps && has_room; i += 2) {
        has_room = mprotect(start + i * page, page, PROT_NONE) == 0;
    }
    munmap(start, bytes);
    return has_room;
}

// In bytes, of what the system counts for a limit.
typedef struct in_use {
    uint64_t addresses;
    uint64_t data; // a little more than what it counts: with the stack
} in_use;

// Returns where the number ends.  Not strtoull(): with _GNU_SOURCE newer
// headers make another symbol of it, which older glibc does not have.
static const char *
read_number(const char *at, uint64_t *out)
{
    uint64_t n = 0;
    at += *at == ' ';
    for (; *at >= '0' && *at <= '9'; at++) {
        n = 10 * n + (uint64_t)(*at - '0');
    }
    *out = n;
    return at;
}

static bool
read_in_use(in_use *out)
{
    char text[128];
    uint64_t pages[6];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    const char *at = text;
    for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        at = read_number(at, &pages[i]);
    }
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *out = (in_use){pages[0] * page, pages[5] * page};
    return true;
}

static bool
has_left(rlim_t limit, uint64_t used, size_t bytes)
{
    return limit == RLIM_INFINITY || (limit > used && limit - used >= bytes);
}

bool
pim_limits_leave(size_t bytes)
{
    struct rlimit addresses;
    struct rlimit data;
    in_use used;
    if (getrlimit(RLIMIT_AS, &addresses) != 0 ||
        getrlimit(RLIMIT_DATA, &data) != 0 ||
        (addresses.rlim_cur == RLIM_INFINITY &&
         data.rlim_cur == RLIM_INFINITY)) {
        return true;
    }
    return read_in_use(&used)
               ? has_left(addresses.rlim_cur, used.addresses, bytes) &&
                     has_left(data.rlim_cur, used.data, bytes)
               : pim_has_addresses(bytes);
}
