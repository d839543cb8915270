// test_promise.c -- mimalloc that waits to be loaded, and what serves until then.
//
// It is loaded once in a process, so each claim is tried in a child.

#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "domain/domain.h"
#include "heap/registry.h"
#include "platform/os.h"
#include "support/core.h"
#include "support/expect.h"
#include "support/fake_interp.h"
#include "support/library.h"

#define LARGE (PIM_SMALL_MAX + 1)

static char copy[] = "/tmp/pim_promise_XXXXXX";

// As the preload library does; `path` as in pim_mi_find().
static void
start(const char *path)
{
    char why[512] = "";
    pim_gate_start();
    if (pim_mi_find(path, why, sizeof(why)) != 0) {
        expect_failed(__FILE__, __LINE__, why);
    }
    EXPECT(!pim_mi_is_loaded());
    EXPECT_EQ(pim_mi_version(), 0);
    EXPECT_EQ(pim_region_init(CORE_REGION), 0);
    pim_process_heap_init();
    pim_raw_set_source(PIM_RAW_MIMALLOC, (pim_raw_table){0});
    fake_python_start();
    fake_interp_swap(fake_main());
}

static void
make_copy_of_library(void)
{
    char path[PATH_MAX];
    char command[2 * PATH_MAX];
    library_path(path);
    int fd = mkstemp(copy);
    EXPECT_GE(fd, 0);
    close(fd);
    snprintf(command, sizeof(command), "cp '%s' '%s'", path, copy);
    EXPECT_EQ(system(command), 0);
}

static void
expect_works(void (*body)(void *))
{
    char text[1024];
    int status = core_in_child(body, NULL, text, sizeof(text));
    if (status != 0) {
        print_error("%s\n", text);
    }
    EXPECT_EQ(status, 0);
}

static void *
filled(size_t size)
{
    char *p = pim_mem_malloc(NULL, size);
    EXPECT_NOT_NULL(p);
    EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
    memset(p, (int)(size & 0xff), size);
    return p;
}

static bool
is_filled(const char *p, size_t size, size_t with)
{
    size_t i = 0;
    while (i < size && p[i] == (char)(with & 0xff)) {
        i++;
    }
    return i == size;
}

static uint64_t
live(unsigned domain)
{
    return fake_figures(FAKE_MAIN).slot[PIM_SLOT(domain)].live_blocks;
}

static void
few_large_blocks(void *arg)
{
    (void)arg;
    start(NULL);
    char *kept[PIM_LARGE_EARLY];
    for (size_t i = 0; i < PIM_LARGE_EARLY; i++) {
        kept[i] = filled(LARGE + i * 4099);
        EXPECT_EQ(live(PIM_MEM), i + 1);
    }
    EXPECT(!pim_mi_is_loaded());
    void *last = filled(LARGE);
    EXPECT(pim_mi_is_loaded());
    EXPECT_GE(pim_mi_version(), PIM_MI_VERSION_MIN);
    EXPECT(pim_mi.contains(last));
    for (size_t i = 0; i < PIM_LARGE_EARLY; i++) {
        size_t size = LARGE + i * 4099;
        EXPECT(is_filled(kept[i], size, size));
        kept[i] = pim_mem_realloc(NULL, kept[i], 2 * size);
        EXPECT(is_filled(kept[i], size, size));
        pim_mem_free(NULL, kept[i]);
    }
    pim_mem_free(NULL, last);
    EXPECT_EQ(live(PIM_MEM), 0);
    EXPECT_EQ(pim_load_relaxed(&pim_foreign_frees), 0);
}

TEST(few_large_blocks_of_main_do_without_mimalloc)
{
    expect_works(few_large_blocks);
}

static void
no_early_block_begins_a_page(void *arg)
{
    (void)arg;
    start(NULL);
    for (size_t i = 0; i < PIM_LARGE_EARLY; i++) {
        char *p = pim_mem_calloc(NULL, 1, LARGE + i * 128);
        EXPECT(!pim_os_begins_page(p));
        EXPECT(is_filled(p, LARGE + i * 128, 0));
        int64_t id = -2;
        EXPECT(pim_heap_find_owner(p, &id));
        EXPECT_EQ(id, FAKE_MAIN);
    }
}

TEST(early_blocks_are_known_as_ours)
{
    expect_works(no_early_block_begins_a_page);
}

static void
other_interpreter(void *arg)
{
    fake_interp interp;
    (void)arg;
    start(NULL);
    fake_interp_begin(&interp, core_next_id());
    fake_interp_swap(&interp);
    void *p = filled(LARGE);
    EXPECT(pim_mi_is_loaded());
    EXPECT(pim_mi.contains(p));
    pim_mem_free(NULL, p);
    fake_interp_swap(NULL);
    fake_interp_end(&interp); // its state is a raw block of libc's
}

TEST(first_large_block_of_another_interpreter_loads_mimalloc)
{
    expect_works(other_interpreter);
}

static pim_raw_usage
raw_figures(void)
{
    pim_raw_usage usage;
    pim_raw_figures(&usage);
    return usage;
}

static void
raw_blocks(void *arg)
{
    (void)arg;
    start(NULL);
    char *moved = pim_raw_malloc(NULL, 100);
    char *freed = pim_raw_calloc(NULL, 3, 50);
    memset(moved, 7, 100);
    moved = pim_raw_realloc(NULL, moved, 1000);
    EXPECT_EQ(pim_raw_get_source(), PIM_RAW_LIBC);
    EXPECT_EQ(raw_figures().live_blocks, 2);
    pim_mi_keep_promise();
    EXPECT(!pim_mi.contains(moved) && !pim_mi.contains(freed));
    EXPECT_EQ(pim_raw_get_source(), PIM_RAW_MIMALLOC);
    moved = pim_raw_realloc(NULL, moved, 2000);
    EXPECT(pim_mi.contains(moved));
    EXPECT(is_filled(moved, 100, 7));
    EXPECT_EQ(raw_figures().live_blocks, 2);
    pim_raw_free(NULL, freed);
    pim_raw_free(NULL, moved);
    EXPECT_EQ(raw_figures().live_blocks, 0);
    EXPECT_EQ(raw_figures().live_bytes, 0);
}

TEST(raw_blocks_of_libc_are_taken_back_when_mimalloc_serves)
{
    expect_works(raw_blocks);
}

static void
vanished_library(void *arg)
{
    (void)arg;
    start(copy);
    unlink(copy);
    for (size_t i = 0; i < 3 * PIM_LARGE_EARLY; i++) {
        size_t size = LARGE + i * 8209;
        char *p = filled(size);
        p = pim_mem_realloc(NULL, p, 3 * size);
        EXPECT(is_filled(p, size, size));
        pim_mem_free(NULL, p);
        p = pim_mem_calloc(NULL, size, 1);
        EXPECT(is_filled(p, size, 0));
        pim_mem_free(NULL, p);
        pim_raw_free(NULL, pim_raw_malloc(NULL, size));
    }
    EXPECT(!pim_mi_is_loaded());
    EXPECT_EQ(live(PIM_MEM), 0);
    EXPECT_EQ(raw_figures().live_blocks, 0);
}

TEST(libc_serves_if_the_library_is_gone_when_it_is_needed)
{
    make_copy_of_library();
    expect_works(vanished_library);
}

// Whether a forked child of this process loads mimalloc at need.
static bool
child_loads(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        pim_mi_keep_promise();
        pim_mem_free(NULL, filled(LARGE));
        _exit(pim_mi_is_loaded() ? 1 : 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    return WEXITSTATUS(status) == 1;
}

static void *
do_nothing(void *arg)
{
    return arg;
}

static void
forking(void *arg)
{
    pthread_t thread;
    (void)arg;
    start(NULL);
    EXPECT(child_loads());
    EXPECT_EQ(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    EXPECT(!child_loads());
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

TEST(child_of_several_threads_stays_out_of_the_loader)
{
    expect_works(forking);
}

static void
promise_nothing(void *arg)
{
    char why[512] = "";
    (void)arg;
    EXPECT_EQ(pim_mi_find("/no/such/library", why, sizeof(why)), -ENOENT);
    EXPECT_NOT_NULL(strstr(why, "/no/such/library"));
    pim_mi_keep_promise();
    EXPECT(!pim_mi_is_loaded());
}

TEST(missing_library_is_told_at_once)
{
    expect_works(promise_nothing);
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(few_large_blocks_of_main_do_without_mimalloc),
        CASE(early_blocks_are_known_as_ours),
        CASE(first_large_block_of_another_interpreter_loads_mimalloc),
        CASE(raw_blocks_of_libc_are_taken_back_when_mimalloc_serves),
        CASE(libc_serves_if_the_library_is_gone_when_it_is_needed),
        CASE(child_of_several_threads_stays_out_of_the_loader),
        CASE(missing_library_is_told_at_once),
    };
    return RUN(cases, NULL, NULL);
}
