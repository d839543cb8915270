// test_scarce.c -- a mimalloc to which the system refuses a map, at whatever
// moment, returns NULL or goes on, and never ends the process.
//
// mimalloc calls mmap() and mprotect() through us.  Each run, a process of its own,
// has another call fail: that one only, or all from it on.

#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "extent/mi_blocks.h"
#include "platform/gate.h"
#include "support/core.h"
#include "support/team.h"

#define FEWER 2 // exit status

static bool is_loaded;
static _Atomic uint64_t calls; // since then
static uint64_t first_failure; // 0: none
static bool all_fail;          // from there on

static bool
must_fail(void)
{
    if (!is_loaded) {
        return false;
    }
    uint64_t nth = pim_add_relaxed(&calls, 1) + 1;
    bool fails = first_failure != 0 &&
                 (nth == first_failure || (all_fail && nth > first_failure));
    if (fails) {
        errno = ENOMEM;
    }
    return fails;
}

__attribute__((visibility("default"))) void *
mmap(void *start, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    return must_fail() ? MAP_FAILED
                       : (void *)syscall(SYS_mmap, start, bytes, prot, flags,
                                         fd, offset);
}

__attribute__((visibility("default"))) int
mprotect(void *start, size_t bytes, int prot)
{
    return must_fail() ? -1 : (int)syscall(SYS_mprotect, start, bytes, prot);
}

static void
use_blocks(size_t size)
{
    enum { BLOCKS = 3 };
    char *blocks[BLOCKS];
    size_t bytes = 0;
    size_t before = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        pim_gate_enter();
        blocks[i] = pim_mi_alloc(size, i % 2 == 0, &bytes);
        pim_gate_exit();
        if (blocks[i] != NULL) {
            EXPECT(pim_mi.contains(blocks[i]));
            EXPECT_EQ(pim_mi.usable_size(blocks[i]), bytes);
            blocks[i][0] = (char)('a' + i);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i] != NULL) {
            pim_gate_enter();
            char *grown = pim_mi_realloc(blocks[i], size * 2, &before, &bytes);
            blocks[i] = grown != NULL ? grown : blocks[i];
            EXPECT_EQ(blocks[i][0], 'a' + (int)i);
            pim_mi.ufree(blocks[i], &before);
            pim_gate_exit();
        }
    }
}

static void *
uses_blocks(void *unused)
{
    static const size_t sizes[] = {1,      100,    5000,   33000,
                                   100000, 700000, 1500000};
    for (size_t i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        use_blocks(sizes[i]);
    }
    return unused;
}

// Exits with FEWER if it makes fewer calls than the one that was to fail.
static void
goes_on(void *unused)
{
    char why[PATH_MAX + 256];
    pim_gate_start();
    pim_gate_enter();
    EXPECT_EQ(pim_mi_load(getenv("PIMALLOC_MIMALLOC"), why, sizeof(why)), 0);
    pim_gate_exit();
    is_loaded = true;
    uses_blocks(unused);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        thread = team_start(uses_blocks, NULL);
        pthread_join(thread, NULL);
    }
    pim_mi.purge();
    uses_blocks(unused);
    _exit(pim_load_relaxed(&calls) < first_failure ? FEWER : 0);
}

static void
each_call_fails(bool and_rest)
{
    int status = 0;
    all_fail = and_rest;
    for (first_failure = 1; status == 0; first_failure++) {
        char text[4096];
        status = core_in_child(goes_on, NULL, text, sizeof(text));
        if (status != 0 && status != FEWER) {
            fprintf(stderr, "call %llu: status %d: %s\n",
                    (unsigned long long)first_failure, status, text);
        }
        EXPECT(status == 0 || status == FEWER);
    }
    EXPECT_GT(first_failure, 10);
    first_failure = 0;
}

TEST_OF(one_refused_map_ends_nothing, each_call_fails(false))
TEST_OF(all_further_maps_refused_ends_nothing, each_call_fails(true))

SUITE()
