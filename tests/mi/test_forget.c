// test_forget.c -- what a library needed to start is not resident afterwards,
// and comes back when it is needed.

#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "mi/mi.h"
#include "platform/gate.h"
#include "platform/module.h"
#include "support/core.h"

// Resident bytes of a module's maps that nobody writes to.
static size_t
constant_kib(const char *path)
{
    char line[4096];
    size_t kib = 0;
    size_t in_all = 0;
    bool is_meant = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        char access[8];
        if (sscanf(line, "%*x-%*x %7s", access) == 1) {
            is_meant = strstr(line, path) != NULL && access[1] == '-' &&
                       access[2] == 'x';
        } else if (is_meant && sscanf(line, "Rss: %zu", &kib) == 1) {
            in_all += kib;
        }
    }
    EXPECT(maps != NULL);
    fclose(maps);
    return in_all;
}

TEST(constant_parts_go_and_come_back)
{
    char why[500];
    char path[PATH_MAX];
    size_t bytes;
    EXPECT_EQ(pim_mi_load(NULL, why, sizeof(why)), 0);
    const void *address = (const void *)(uintptr_t)pim_mi.umalloc;
    char real[PATH_MAX];
    pim_module_path(address, path);
    EXPECT(realpath(path, real) != NULL);
    size_t before = constant_kib(real);
    EXPECT(before != 0); // its trial ran
    pim_module_forget_pages(address);
    EXPECT_EQ(constant_kib(real), 0);
    pim_gate_enter();
    void *block = pim_mi_malloc(100, false, &bytes);
    EXPECT(block != NULL);
    memset(block, 1, bytes);
    pim_mi.ufree(block, &bytes);
    pim_gate_exit();
    EXPECT(constant_kib(real) != 0);
    EXPECT_LE(constant_kib(real), before);
}

SUITE()
