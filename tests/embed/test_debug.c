// test_debug.c -- PIMALLOC_DEBUG=1: CPython's debug hooks over pimalloc.

#include <signal.h>
#include <unistd.h>

#include "support/embed.h"

#include "support/child.h"

#define CLEAN_BYTE 0xcd // what the hooks fill new blocks with

static void
install(void)
{
    embed_skip_if_vanilla("the option is ours");
    embed_preinit();
    int err = pimalloc_install(NULL);
    if (err != 0) {
        FAIL("pimalloc_install() to work: %s", pimalloc_strerror(err));
    }
}

static bool
is_filled(void)
{
    unsigned char *block = PyMem_Malloc(100);
    EXPECT(block != NULL);
    bool filled = true;
    for (int i = 0; i < 100; i++) {
        filled = filled && block[i] == CLEAN_BYTE;
    }
    PyMem_Free(block);
    return filled;
}

static void
work_in_interpreters(void)
{
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_run("import json; x = [json.dumps(i) for i in range(2000)]");
    EXPECT(is_filled());
    EXPECT_GT(embed_stats(embed_interp_id()).domain[PIMALLOC_OBJ].live_blocks,
              2000);
    embed_return(&guest);
}

CASE_ENV(hooks_lie_on_top_in_each_runtime, "PIMALLOC_DEBUG=1")
{
    for (int runtime = 0; runtime < 2; runtime++) {
        install();
        embed_init();
        EXPECT(is_filled());
        // The layer's own bytes are in the figures: the block is ours.
        uint64_t before = embed_stats(0).domain[PIMALLOC_MEM].live_bytes;
        void *block = PyMem_Malloc(100);
        uint64_t bytes =
            embed_stats(0).domain[PIMALLOC_MEM].live_bytes - before;
        EXPECT_GE(bytes, 100 + 3 * sizeof(size_t));
        PyMem_Free(block);
        work_in_interpreters();
        embed_stop();
    }
}

// The hooks do what they are for.
CASE_ENV(write_behind_a_block_is_found, "PIMALLOC_DEBUG=1")
{
    install();
    embed_init();
    pid_t child = fork();
    if (child == 0) {
        char *volatile block = PyMem_Malloc(100);
        block[100] = 1;
        PyMem_Free(block);
        _exit(0);
    }
    EXPECT_EQ(child_outcome(child), -SIGABRT);
    embed_stop();
}

CASE_ENV(no_hooks_without_the_option, "PIMALLOC_DEBUG=0")
{
    install();
    embed_init();
    EXPECT(PY_IS_DEBUG || !is_filled());
    embed_stop();
}
