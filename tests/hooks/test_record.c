// test_record.c -- a recording tells what happened, in an order that can be played,
// whatever becomes of the process, its threads and its disk.

#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/player/lives.h"
#include "hooks/chain.h"
#include "domain/domain.h"
#include "hooks/record_format.h"
#include "hooks/storm.h"
#include "hooks/watcher.h"
#include "pimalloc/record.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_os.h"

static char folder[] = "/tmp/pimalloc-record-XXXXXX";
static watcher book;

// Of a file in the folder, valid until the next call but one.
static const char *
path_of(const char *name)
{
    static char paths[2][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static int
set_up(void **state)
{
    core_set_up_with_clock(state);
    pim_chain_start();
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
    char command[PATH_MAX];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static void
start(const char *name)
{
    EXPECT_EQ(pimalloc_record_start(path_of(name), PIMALLOC_EACH), 0);
}

// --- reading -------------------------------------------------------------------

typedef struct reading {
    log_file *log;
    lives *of;
} reading;

static reading
open_reading(const char *name)
{
    const char *why = NULL;
    reading r = {.log = log_open(path_of(name), &why)};
    if (r.log == NULL) {
        fprintf(stderr, "%s\n", why);
    }
    EXPECT(r.log != NULL);
    r.of = lives_open(r.log);
    EXPECT(r.of != NULL);
    return r;
}

static reading
read_all(const char *name)
{
    reading r = open_reading(name);
    life next;
    while (lives_next(r.of, &next)) {
    }
    EXPECT(!lives_failed(r.of));
    EXPECT_EQ(log_missing_blocks(r.log), 0);
    return r;
}

static void
close_reading(reading *r)
{
    lives_close(r->of);
    log_close(r->log);
}

// --- what is in it -------------------------------------------------------------

static void
expect_next(reading *r, enum life_what what, unsigned domain, size_t size)
{
    life next;
    EXPECT(lives_next(r->of, &next));
    EXPECT_EQ(next.what, what);
    EXPECT_EQ(next.domain, domain);
    EXPECT_EQ(next.size, size);
}

TEST(each_request_is_in_it_with_its_domain_size_and_interpreter)
{
    fake_interp a;
    fake_interp_start(&a);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1)); // it is known from here on
    start("each");
    for (unsigned d = 0; d < 3; d++) {
        const core_domain *of = &core_domains[d];
        void *p = of->malloc(NULL, 100);
        p = of->realloc(NULL, p, 101);
        p = of->realloc(NULL, p, 5000000);
        void *q = of->calloc(NULL, 7, 9);
        of->free(NULL, p);
        of->free(NULL, q);
    }
    EXPECT_EQ(pimalloc_record_stop(), 0);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1)); // past it
    int64_t id = a.state->id;
    reading r = open_reading("each");
    for (unsigned d = 0; d < 3; d++) {
        life next;
        EXPECT(lives_next(r.of, &next));
        EXPECT_EQ(next.what, LIFE_BEGINS);
        EXPECT_EQ(next.size, 100);
        EXPECT_EQ(next.domain, d);
        EXPECT_EQ(next.interp, id);
        EXPECT(!next.zeroed);
        expect_next(&r, LIFE_RESIZED, d, 101);
        expect_next(&r, LIFE_RESIZED, d, 5000000);
        EXPECT(lives_next(r.of, &next));
        EXPECT_EQ(next.size, 63);
        EXPECT(next.zeroed);
        expect_next(&r, LIFE_ENDS, d, 5000000);
        expect_next(&r, LIFE_ENDS, d, 63);
    }
    life none;
    EXPECT(!lives_next(r.of, &none));
    EXPECT(log_is_ended(r.log));
    EXPECT_EQ(log_lost_bytes(r.log), 0);
    EXPECT(strstr(log_head(r.log), "\npage ") != NULL);
    close_reading(&r);
    fake_interp_stop(&a);
}

TEST(one_interpreter_may_be_recorded_alone)
{
    fake_interp a, b;
    fake_interp_start(&a);
    EXPECT_EQ(pimalloc_record_start(path_of("one"), a.state->id), 0);
    void *p = pim_obj_malloc(NULL, 64);
    fake_interp_detach(&a);
    fake_interp_start(&b);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 64));
    pim_obj_free(NULL, p); // by another
    fake_interp_stop(&b);
    fake_interp_attach(&a);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    fake_interp_stop(&a);
    reading r = read_all("one");
    EXPECT_EQ(lives_counted(r.of)->allocs, 1);
    EXPECT_EQ(lives_counted(r.of)->frees, 1);
    close_reading(&r);
}

TEST(what_an_interpreter_leaves_is_the_processs_or_gone)
{
    fake_interp a;
    for (int kept = 0; kept < 2; kept++) {
        start("left");
        pim_store_relaxed(&pim_policy_of_new, kept ? PIM_KEEP : PIM_RELEASE);
        fake_interp_start(&a);
        void *p = pim_obj_malloc(NULL, 64);
        fake_interp_stop(&a);
        pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
        EXPECT_EQ(pimalloc_record_stop(), 0);
        reading r = read_all("left");
        EXPECT_EQ(lives_counted(r.of)->ended, 1);
        EXPECT_EQ(lives_has(r.of, (uintptr_t)p), kept);
        close_reading(&r);
    }
}

TEST(blocks_that_came_before_are_strangers)
{
    void *p = pim_raw_malloc(NULL, 10);
    void *q = pim_raw_malloc(NULL, 10);
    start("strangers");
    pim_raw_free(NULL, p);
    q = pim_raw_realloc(NULL, q, 20);
    pim_raw_free(NULL, q);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    reading r = read_all("strangers");
    EXPECT_EQ(lives_counted(r.of)->strangers, 2);
    EXPECT_EQ(lives_counted(r.of)->allocs, 1);
    EXPECT_EQ(lives_counted(r.of)->frees, 1);
    close_reading(&r);
}

static void *
refuse_to_resize(void *ctx, const pimalloc_next *next, void *block, size_t size)
{
    (void)ctx, (void)next, (void)block, (void)size;
    return NULL;
}

TEST(a_resize_that_is_refused_leaves_the_block)
{
    pimalloc_hook hook = {
        .size = sizeof(hook), .name = "refuse", .resize = refuse_to_resize};
    int handle = pimalloc_hook_push(&hook, PIMALLOC_EACH); // behind it
    start("refused");
    void *p = pim_raw_malloc(NULL, 10);
    EXPECT_NULL(pim_raw_realloc(NULL, p, 20));
    pim_raw_free(NULL, p);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    EXPECT_EQ(pimalloc_hook_pop(handle), 0);
    reading r = open_reading("refused");
    expect_next(&r, LIFE_BEGINS, PIM_RAW, 10);
    expect_next(&r, LIFE_ENDS, PIM_RAW, 10);
    close_reading(&r);
}

// --- order ---------------------------------------------------------------------

// What the watcher has is what the log says is live.
static void
expect_same_blocks(const reading *r)
{
    uint64_t live = 0;
    for (unsigned i = 0; i < WATCHER_BLOCKS; i++) {
        if (book.block[i] != NULL) {
            live++;
            EXPECT(lives_has(r->of, (uintptr_t)book.block[i]));
        }
    }
    EXPECT_EQ(lives_counted(r->of)->live_blocks, live);
}

static void
check_storm(void)
{
    reading r = read_all("storm");
    const lives_count *n = lives_counted(r.of);
    EXPECT(log_is_ended(r.log));
    EXPECT_EQ(log_lost_bytes(r.log), 0);
    EXPECT_EQ(n->strangers, 0);
    EXPECT_EQ(n->reused, 0); // RECORD-1
    EXPECT_EQ(n->allocs, book.allocs);
    EXPECT_EQ(n->resizes, book.resizes);
    EXPECT_EQ(n->frees, book.frees);
    EXPECT_EQ(n->born, book.born);
    EXPECT_EQ(n->ended, book.ended);
    EXPECT_EQ(book.unknown, 0);
    expect_same_blocks(&r);
    close_reading(&r);
}

TEST(a_storm_can_be_played)
{
    team t = {.count = 0};
    watcher_begin(&book, PIMALLOC_EACH);
    start("storm");
    for (unsigned i = 0; i < 4; i++) {
        team_add(&t, storm_come_and_go);
    }
    while (book.allocs < TEAM_ROUNDS(150000)) {
        sched_yield();
    }
    team_join(&t);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    watcher_end(&book);
    check_storm();
    storm_clean_up();
}

// Two threads and one address, over and over: the allocator gives it to either.
static _Atomic(void *) hand;
static _Atomic unsigned passed;

static void
pass_on(team_member *self)
{
    while (!team_stops(self)) {
        pim_raw_free(NULL, pim_exchange(&hand, pim_raw_malloc(NULL, 4000000)));
        pim_add_relaxed(&passed, 1);
    }
}

TEST(an_address_that_goes_to_and_fro_is_freed_before_it_comes_back)
{
    team t = {.count = 0};
    start("hand");
    team_add(&t, pass_on);
    team_add(&t, pass_on);
    while (pim_load_relaxed(&passed) < TEAM_ROUNDS(20000)) {
        sched_yield();
    }
    team_join(&t);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    reading r = read_all("hand");
    EXPECT_EQ(lives_counted(r.of)->reused, 0);
    EXPECT_EQ(lives_counted(r.of)->strangers, 0);
    EXPECT_LE(lives_counted(r.of)->live_blocks, 1);
    close_reading(&r);
    pim_raw_free(NULL, pim_exchange(&hand, NULL));
}

// It may be stopped and started while they run; each recording is whole.
TEST(recordings_come_and_go_beside_everything_else)
{
    team t = {.count = 0};
    team_add(&t, storm_come_and_go);
    team_add(&t, storm_come_and_go);
    for (unsigned i = 0; i < TEAM_ROUNDS(60); i++) {
        start("beside");
        sched_yield();
        EXPECT_EQ(pimalloc_record_stop(), 0);
        reading r = read_all("beside");
        EXPECT(log_is_ended(r.log));
        EXPECT_EQ(lives_counted(r.of)->reused, 0);
        close_reading(&r);
    }
    team_join(&t);
    storm_clean_up();
}

// --- memory --------------------------------------------------------------------

static void *
allocate_a_little(void *arg)
{
    pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    return arg;
}

TEST(the_buffer_of_a_thread_that_ended_is_the_next_ones)
{
    uint64_t mapped = pim_load_relaxed(&fake.mapped_bytes);
    start("threads");
    for (unsigned i = 0; i < 50; i++) {
        team_alone(allocate_a_little, NULL);
    }
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes), mapped + 2 * PIM_LOG_BLOCK);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    reading r = read_all("threads");
    EXPECT_EQ(lives_counted(r.of)->frees, 50);
    EXPECT_LE(log_streams(r.log), 3);
    close_reading(&r);
}

static void
record_without_memory(void *arg)
{
    (void)arg;
    start("nothing");
    fake_os_fail(FAKE_MAP, 1, true);
    void *p = pim_raw_malloc(NULL, 40);
    EXPECT_NOT_NULL(p);
    pim_raw_free(NULL, p);
    EXPECT_EQ(pimalloc_record_stop(), -ENOMEM);
}

static void
expect_one_line(const char *text)
{
    EXPECT(strstr(text, "pimalloc: the recording in ") == text);
    EXPECT_PTR_EQ(strchr(text, '\n'), text + strlen(text) - 1);
}

TEST(without_memory_for_a_buffer_the_program_goes_on)
{
    char text[500];
    EXPECT_EQ(core_in_child(record_without_memory, NULL, text, sizeof(text)),
              0);
    expect_one_line(text);
}

// --- the process, its children and its disk --------------------------------------

#define FULL_BUFFERS 4

static off_t
size_of(const char *name)
{
    struct stat s;
    return stat(path_of(name), &s) == 0 ? s.st_size : -1;
}

static void
allocate_until(const char *name, off_t bytes)
{
    for (size_t i = 1; size_of(name) < bytes; i++) {
        for (unsigned j = 0; j < 100; j++) {
            pim_raw_free(NULL, pim_raw_malloc(NULL, i % 1000));
        }
    }
}

static void
record_and_die(void *arg)
{
    (void)arg;
    start("crash");
    allocate_until("crash", FULL_BUFFERS * (off_t)PIM_LOG_BLOCK - 4096);
    kill(getpid(), SIGKILL);
}

TEST(after_a_crash_it_is_whole_up_to_the_last_full_buffer)
{
    char text[100];
    EXPECT_EQ(core_in_child(record_and_die, NULL, text, sizeof(text)),
              -SIGKILL);
    reading r = read_all("crash");
    const lives_count *n = lives_counted(r.of);
    EXPECT(!log_is_ended(r.log));
    EXPECT_EQ(log_lost_bytes(r.log), 0);
    EXPECT_GT(n->allocs, FULL_BUFFERS * PIM_LOG_BLOCK / 10);
    EXPECT_EQ(n->strangers + n->reused, 0);
    EXPECT_LE(n->live_blocks, 1); // the free may be in the buffer that is lost
    close_reading(&r);
}

TEST(a_file_that_was_cut_is_read_as_far_as_it_goes)
{
    start("cut");
    allocate_until("cut", FULL_BUFFERS * (off_t)PIM_LOG_BLOCK - 4096);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    reading whole = read_all("cut");
    uint64_t frees = lives_counted(whole.of)->frees;
    close_reading(&whole);
    off_t size = size_of("cut");
    EXPECT_EQ(truncate(path_of("cut"), size - size / 3), 0);
    reading r = read_all("cut");
    EXPECT(!log_is_ended(r.log));
    EXPECT_GT(log_lost_bytes(r.log), 0);
    EXPECT_GT(lives_counted(r.of)->frees, frees / 4);
    EXPECT_LT(lives_counted(r.of)->frees, frees);
    close_reading(&r);
}

// A hole, as somebody leaves who took a place and did not come to write there.
TEST(a_block_that_is_missing_costs_only_itself)
{
    start("hole");
    allocate_until("hole", FULL_BUFFERS * (off_t)PIM_LOG_BLOCK - 4096);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    FILE *f = fopen(path_of("hole"), "r+");
    EXPECT_NOT_NULL(f);
    EXPECT_EQ(fseek(f, 3 * (long)PIM_LOG_BLOCK / 2, SEEK_SET), 0);
    EXPECT_EQ(fputc('x', f), 'x');
    fclose(f);
    reading r = open_reading("hole");
    life next;
    while (lives_next(r.of, &next)) {
    }
    EXPECT(log_is_ended(r.log));
    EXPECT_EQ(log_missing_blocks(r.log), 1);
    EXPECT_GT(log_lost_bytes(r.log), PIM_LOG_BLOCK / 2);
    EXPECT_LE(log_lost_bytes(r.log), PIM_LOG_BLOCK);
    close_reading(&r);
}

TEST(what_is_no_recording_is_refused)
{
    const char *why = NULL;
    FILE *f = fopen(path_of("other"), "w");
    EXPECT_NOT_NULL(f);
    fputs("nothing of ours, and not short either", f);
    fclose(f);
    EXPECT_NULL(log_open(path_of("other"), &why));
    EXPECT_NOT_NULL(why);
    EXPECT_NULL(log_open(path_of("none"), &why));
    EXPECT_NULL(log_open(folder, &why));
}

static void
fill_the_disk(void *arg)
{
    (void)arg;
    struct rlimit most = {2 * PIM_LOG_BLOCK + 1000, 2 * PIM_LOG_BLOCK + 1000};
    setrlimit(RLIMIT_FSIZE, &most); // the signal of it would end the process
    start("full");
    allocate_until("full", (off_t)most.rlim_cur);
    for (unsigned i = 0; i < 100000; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    }
    EXPECT_EQ(pimalloc_record_stop(), -EFBIG);
    EXPECT_EQ(pimalloc_record_stop(), -ENOENT);
}

TEST(on_a_full_disk_the_recording_ends_and_the_program_goes_on)
{
    char text[500];
    EXPECT_EQ(core_in_child(fill_the_disk, NULL, text, sizeof(text)), 0);
    expect_one_line(text);
    reading r = read_all("full");
    EXPECT(!log_is_ended(r.log));
    EXPECT_GT(lives_counted(r.of)->frees, PIM_LOG_BLOCK / 10);
    close_reading(&r);
}

static void
allocate_in_child(void *arg)
{
    bool goes_on = arg != NULL;
    for (unsigned i = 0; i < 60; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    }
    if (goes_on) {
        EXPECT_EQ(pimalloc_record_stop(), 0);
        return;
    }
    EXPECT_EQ(pimalloc_record_stop(), -ENOENT);
    EXPECT_EQ(pimalloc_record_start(path_of("fork"), PIMALLOC_EACH), -EBUSY);
    EXPECT_EQ(pimalloc_record_start(path_of("child"), PIMALLOC_EACH), 0);
    EXPECT_EQ(pimalloc_record_stop(), 0);
}

static void
expect_frees(const char *name, uint64_t frees)
{
    reading r = read_all(name);
    EXPECT(log_is_ended(r.log));
    EXPECT_EQ(lives_counted(r.of)->frees, frees);
    EXPECT_EQ(lives_counted(r.of)->reused, 0);
    close_reading(&r);
}

TEST(a_child_leaves_the_parents_log_alone)
{
    char text[500];
    start("fork");
    pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    EXPECT_EQ(core_in_child(allocate_in_child, NULL, text, sizeof(text)), 0);
    pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    EXPECT_EQ(pimalloc_record_stop(), 0);
    expect_frees("fork", 2);
}

static int
name_by_pid(char *out, pid_t process)
{
    return snprintf(out, 64, "fork-%ld", (long)process);
}

TEST(a_child_has_one_of_its_own_if_its_name_differs)
{
    char text[500];
    char name[64];
    start("fork-%p");
    pim_raw_free(NULL, pim_raw_malloc(NULL, 40));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        allocate_in_child(text);
        _exit(0);
    }
    EXPECT_EQ(child_outcome(child), 0);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    name_by_pid(name, getpid());
    expect_frees(name, 1);
    name_by_pid(name, child);
    expect_frees(name, 60);
}

// --- asking for it ---------------------------------------------------------------

TEST(bad_requests_are_refused)
{
    EXPECT_EQ(pimalloc_record_start(NULL, PIMALLOC_EACH), -EINVAL);
    EXPECT_EQ(pimalloc_record_start("", PIMALLOC_EACH), -EINVAL);
    EXPECT_EQ(pimalloc_record_start(path_of("x"), -3), -EINVAL);
    EXPECT_EQ(pimalloc_record_start("/dev/null", PIMALLOC_EACH), -ESPIPE);
    EXPECT_EQ(pimalloc_record_start(path_of("a/b"), PIMALLOC_EACH), -ENOENT);
    EXPECT_EQ(pimalloc_record_stop(), -ENOENT);
    start("first");
    EXPECT_EQ(pimalloc_record_start(path_of("x"), PIMALLOC_EACH), -EALREADY);
    EXPECT_EQ(pimalloc_record_stop(), 0);
    EXPECT_EQ(size_of("x"), -1);
}

SUITE(.set_up = set_up, .tear_down = tear_down)
