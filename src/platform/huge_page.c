// huge_page.c -- see huge_page.h.

#include "platform/huge_page.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/config.h"
#include "base/keep_errno.h"
#include "platform/cancel.h"
#include "platform/os.h"

// That of most machines: then a table of the last level maps 2 MiB.
#define SMALL_PAGE 4096

static _Atomic bool suits = true;

// 0: it is not known.
static size_t
read_size(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
    if (fd >= 0) {
        close(fd);
    }
    size_t size = 0;
    for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++) {
        size = 10 * size + (size_t)(text[i] - '0');
    }
    return size;
}

void
pim_huge_page_look(const char *path)
{
    PIM_KEEP_ERRNO;
    PIM_NO_CANCEL;
    size_t size = read_size(path);
    pim_store_relaxed(&suits, size != 0 ? size == PIM_ARENA_SIZE
                                        : pim_os_page_size() == SMALL_PAGE);
}

bool
pim_huge_page_suits(void)
{
    return pim_load_relaxed(&suits);
}
