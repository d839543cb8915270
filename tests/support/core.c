// core.c -- set-up, and bodies that run in a child.

#define _GNU_SOURCE

#include "support/core.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena/region.h"
#include "domain/check.h"
#include "domain/domain.h"
#include "interp/registry.h"
#include "support/child.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/patience.h"

void
core_start_with_region(size_t bytes)
{
    pim_gate_start();
    fake_os_start();
    fake_os_stop_clock();
    fake_mi_start();
    EXPECT_EQ(pim_region_init(bytes), 0);
    pim_process_heap_init();
    pim_raw_set_source(PIM_RAW_OWN, (pim_raw_table){0});
    fake_python_start();
}

void
core_start(void)
{
    core_start_with_region(CORE_REGION);
}

int
core_set_up(void **state)
{
    (void)state;
    core_start();
    return 0;
}

int
core_set_up_with_clock(void **state)
{
    core_set_up(state);
    fake_os_run_clock();
    return 0;
}

int
core_set_up_checked(void **state)
{
    core_set_up(state);
    pim_check_start(true);
    return 0;
}

int64_t
core_next_id(void)
{
    static _Atomic int64_t last;
    return pim_add_relaxed(&last, 1) + 1;
}

size_t
core_block_bytes(size_t size)
{
    if (size > PIM_SMALL_MAX) {
        return pim_align_up(size, PIM_UNIT_SIZE);
    }
    unsigned c = 0;
    while (pim_classes[c].block_size < size) {
        c++;
        EXPECT_LT(c, PIM_CLASSES);
    }
    return pim_classes[c].block_size;
}

void
core_fill(unsigned domain, void **blocks, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++) {
        blocks[i] = core_domains[domain].malloc(NULL, size);
        EXPECT_NOT_NULL(blocks[i]);
    }
}

void
core_free_all(unsigned domain, void **blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        core_domains[domain].free(NULL, blocks[i]);
    }
}

typedef struct work {
    void (*body)(void *);
    void *arg;
} work;

static void
work_in_child(void *arg)
{
    const work *w = arg;
    signal(SIGSEGV, SIG_DFL); // cmocka's would jump into the parent's test
    alarm(patience());
    w->body(w->arg);
}

int
core_in_child(void (*body)(void *), void *arg, char *text, size_t size)
{
    int outcome = child_run(work_in_child, &(work){body, arg}, text, size);
    EXPECT_NE(outcome, CHILD_IS_LOST);
    return outcome;
}

void
core_expect_fatal(void (*body)(void *), void *arg, const char *expected)
{
    char text[1024];
    int status = core_in_child(body, arg, text, sizeof(text));
    bool said = strstr(text, "pimalloc: fatal: ") != NULL &&
                strstr(text, expected) != NULL;
    if (!said) {
        fprintf(stderr, "expected \"%s\" in: %s\n", expected, text);
    }
    EXPECT(said);
    EXPECT_EQ(status, -SIGABRT);
}
