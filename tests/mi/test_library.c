// test_library.c -- which libmimalloc is taken, what it costs until it is needed,
// and what becomes of a process that has no room for it.
//
// Each case is a process of its own, for a library is loaded once.  CTest runs
// them with each mimalloc there is, named in PIMALLOC_MIMALLOC.

#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "extent/mi_blocks.h"
#include "mi/self_test.h"
#include "platform/gate.h"
#include "platform/os.h"
#include "support/core.h"
#include "support/team.h"
#include "support/tsan.h"

#if PIM_TSAN || defined(__SANITIZE_ADDRESS__)
#    define SANITIZED 1 // they need address space of their own
#else
#    define SANITIZED 0
#endif

#define MIB ((size_t)1 << 20)
#define NO_MEMORY 3 // exit status

static char why[PATH_MAX + 256];

static int
load(const char *path)
{
    pim_gate_start();
    pim_gate_enter();
    int err = pim_mi_load(path, why, sizeof(why));
    pim_gate_exit();
    return err;
}

static void
load_ours(void)
{
    EXPECT_EQ(load(getenv("PIMALLOC_MIMALLOC")), 0);
}

static void
in_child(void (*body)(void *), void *arg)
{
    char text[4096];
    int status = core_in_child(body, arg, text, sizeof(text));
    if (status != 0) {
        fprintf(stderr, "%s\n", text);
    }
    EXPECT_EQ(status, 0);
}

static void *
take(size_t size)
{
    size_t bytes = 0;
    pim_gate_enter();
    void *block = pim_mi_alloc(size, false, &bytes);
    pim_gate_exit();
    EXPECT(block == NULL || bytes >= size);
    return block;
}

static void
give(void *block)
{
    size_t bytes = 0;
    pim_gate_enter();
    pim_mi.ufree(block, &bytes);
    pim_gate_exit();
}

static size_t
address_space(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    EXPECT(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    return pages * pim_os_page_size();
}

// --- which one -------------------------------------------------------------

static void
ours_is_taken(void *unused)
{
    (void)unused;
    const char *fault = NULL;
    load_ours();
    EXPECT(pim_mi_version_lack(pim_mi_version()) == NULL);
    EXPECT_EQ(pim_mi_self_test(&pim_mi, &fault), 0);
    printf("mimalloc %d\n", pim_mi_version());
}

TEST_OF(library_of_this_test_is_taken, in_child(ours_is_taken, NULL))

typedef struct odd {
    const char *version;
    const char *fault;
    int err;
    const char *why;
} odd;

static void
odd_is_judged(void *arg)
{
    const odd *o = arg;
    setenv("STUB_MI_VERSION", o->version, 1);
    setenv("STUB_MI_FAULT", o->fault, 1);
    EXPECT_EQ(load(PIM_TEST_ODD_MIMALLOC), o->err);
    if (strstr(why, o->why) == NULL) {
        expect_failed(__FILE__, __LINE__, why);
    }
}

TEST(library_is_judged_by_what_it_does)
{
    static const odd odds[] = {
        {"30999", "", 0, ""}, // of a version to come
        {"301", "", -EPROTO, "is too old"},
        {"30599", "", -EPROTO, "is too old"},
        {"40000", "", -EPROTO, "is of another major version"},
        {"30700", "alignment", -EPROTO, "misaligns"},
        {"30999", "size", -EPROTO, "does not tell their size"},
        {"30999", "usable", -EPROTO, "tells two sizes"},
        {"30999", "own", -EPROTO, "does not know its blocks"},
        {"30999", "strange", -EPROTO, "takes strange memory"},
        {"30999", "before", -EPROTO, "what it resized"},
        {"30999", "content", -EPROTO, "loses what is in a block"},
        {"30999", "free", -EPROTO, "what it freed"},
        {"30999", "zero", -EPROTO, "does not clear"},
        {"30999", "memory", -ENOMEM, "no address space"},
    };
    for (size_t i = 0; i < PIM_ARRAY_LEN(odds); i++) {
        odd o = odds[i];
        in_child(odd_is_judged, &o);
    }
}

static void *
allocates_and_ends(void *unused)
{
    (void)unused;
    char *block = take(1000);
    EXPECT_NOT_NULL(block);
    memset(block, 't', 1000);
    return block;
}

static void
blocks_outlive_their_threads(void *unused)
{
    (void)unused;
    load_ours();
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        void *block = NULL;
        thread = team_start(allocates_and_ends, NULL);
        pthread_join(thread, &block);
        EXPECT(pim_mi.contains(block));
        EXPECT_GE(pim_mi.usable_size(block), 1000);
        EXPECT_EQ(((char *)block)[999], 't');
        give(block);
    }
}

TEST_OF(heaps_are_not_bound_to_threads,
        in_child(blocks_outlive_their_threads, NULL))

static void
threads_end_inside(void *unused)
{
    (void)unused;
    load_ours();
    EXPECT(pim_load_acquire(&pim_gate_on_thread_exit[PIM_EXIT_MI]) != NULL);
}

TEST_OF(ends_of_threads_are_taken_over, in_child(threads_end_inside, NULL))

// --- what it costs ---------------------------------------------------------

static void
nothing_is_reserved(void *unused)
{
    (void)unused;
    size_t before = address_space();
    load_ours();
    EXPECT_LT(address_space() - before, 8 * MIB);
    void *block = take(100);
    EXPECT_NOT_NULL(block);
    EXPECT_GE(address_space() - before, 32 * MIB);
    give(block);
}

TEST_OF(no_arena_before_the_first_block, in_child(nothing_is_reserved, NULL))

// --- where there is little -------------------------------------------------

// What is limited, and how much more of it there is.
typedef struct scarce {
    int resource;
    size_t bytes;
} scarce;

// Loads and allocates until there is no more, here and in a thread.
static void *
allocates_all(void *unused)
{
    (void)unused;
    static const size_t sizes[] = {40, 5000, 70000, 1000000, 9000000};
    for (size_t i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        char *last = NULL;
        char *block = NULL;
        while ((block = take(sizes[i])) != NULL) {
            memcpy(block, &last, sizeof(last));
            last = block;
        }
        while (last != NULL) {
            memcpy(&block, last, sizeof(block));
            give(last);
            last = block;
        }
    }
    return NULL;
}

static void
lives_on_little(void *arg)
{
    const scarce *s = arg;
    rlim_t bytes = s->bytes;
    bytes += s->resource == RLIMIT_AS ? address_space() : 0;
    EXPECT_EQ(setrlimit((__rlimit_resource_t)s->resource,
                        &(struct rlimit){bytes, bytes}),
              0);
    int err = load(getenv("PIMALLOC_MIMALLOC"));
    if (err == -ENOMEM) {
        EXPECT(strstr(why, "ulimit -v") != NULL);
        _exit(NO_MEMORY);
    }
    EXPECT_EQ(err, 0);
    pthread_t thread;
    allocates_all(NULL);
    if (pthread_create(&thread, NULL, allocates_all, NULL) == 0) {
        pthread_join(thread, NULL);
    }
    allocates_all(NULL);
}

static void
any_amount(int resource)
{
    unsigned loaded = 0;
    unsigned refused = 0;
    for (size_t step = 0; step < 45; step++) {
        char text[4096];
        scarce s = {resource, step * MIB * 5 / 8};
        int status = core_in_child(lives_on_little, &s, text, sizeof(text));
        if (status != 0 && status != NO_MEMORY) {
            fprintf(stderr, "%zu bytes: %s\n", s.bytes, text);
        }
        EXPECT(status == 0 || status == NO_MEMORY);
        loaded += status == 0;
        refused += status == NO_MEMORY;
    }
    EXPECT_GT(loaded, 10);
    EXPECT_GT(refused, 10);
}

TEST(little_address_space_is_found_out_in_time)
{
    if (SANITIZED) {
        skip();
    }
    any_amount(RLIMIT_AS);
}

TEST(little_data_is_found_out_in_time)
{
    if (SANITIZED) {
        skip();
    }
    any_amount(RLIMIT_DATA);
}

// Pages of two kinds in turn do not become one map.
static void
has_no_map_left(void *unused)
{
    (void)unused;
    size_t page = pim_os_page_size();
    size_t count = (size_t)1 << 20;
    char *pages = mmap(NULL, count * page, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(pages != MAP_FAILED);
    for (size_t i = 1; i < count; i += 2) {
        if (mprotect(pages + i * page, page, PROT_READ) != 0) {
            EXPECT_EQ(load(getenv("PIMALLOC_MIMALLOC")), -ENOMEM);
            EXPECT(strstr(why, "max_map_count") != NULL);
            return;
        }
    }
    _exit(NO_MEMORY); // this system has no such limit, or a very high one
}

TEST(no_map_left_is_found_out_in_time)
{
    char text[4096];
    if (SANITIZED) {
        skip();
    }
    int status = core_in_child(has_no_map_left, NULL, text, sizeof(text));
    EXPECT(status == 0 || status == NO_MEMORY);
}

SUITE()
