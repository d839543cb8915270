// test_save.c -- writing statistics where writing is hard.

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/child.h"
#include "support/embed.h"
#include "support/scratch.h"

// --- errors ----------------------------------------------------------------

CASE(failed_writes_return_the_error)
{
    embed_skip_if_vanilla("figures are ours alone");
    embed_start();
    int full = open("/dev/full", O_WRONLY);
    EXPECT(full >= 0);
    for (int format = PIMALLOC_TEXT; format <= PIMALLOC_OPENMETRICS; format++) {
        EXPECT_EQ(pimalloc_stats_write(full, format), -ENOSPC);
        EXPECT_EQ(pimalloc_stats_write(-1, format), -EBADF);
    }
    EXPECT_EQ(pimalloc_stats_write(2, -1), -EINVAL);
    EXPECT_EQ(pimalloc_stats_write(2, PIMALLOC_OPENMETRICS + 1), -EINVAL);
    close(full);

    int pipes[2];
    EXPECT_EQ(pipe(pipes), 0);
    close(pipes[0]);
    signal(SIGPIPE, SIG_DFL); // would end us
    EXPECT_EQ(pimalloc_stats_write(pipes[1], PIMALLOC_JSON), -EPIPE);
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
    close(pipes[1]);
    embed_stop();
}

// Saves to `path`, which must fail so and change nothing.
static void
expect_failure(const char *path, int format, int err)
{
    int before = scratch_count();
    EXPECT_EQ(pimalloc_stats_save(path, format), err);
    EXPECT_EQ(scratch_count(), before);
    EXPECT(strcmp(scratch_read(scratch_path("old")), "old\n") == 0);
}

static void
fail_in_a_folder_of_somebody_else(void)
{
    EXPECT_EQ(chmod(scratch_folder(), 0555), 0);
    if (geteuid() == 0) {
        EXPECT_EQ(seteuid(65534), 0); // root may write everywhere
    }
    expect_failure(scratch_path("old"), PIMALLOC_JSON, -EACCES);
    expect_failure(scratch_path("new"), PIMALLOC_JSON, -EACCES);
    EXPECT_EQ(seteuid(getuid()), 0);
    EXPECT_EQ(chmod(scratch_folder(), 0755), 0);
}

CASE(failed_saves_leave_the_old_file)
{
    scratch_make();
    embed_start();
    scratch_write(scratch_path("old"), "old\n");
    expect_failure(scratch_path("old"), 3, -EINVAL);
    expect_failure("", PIMALLOC_JSON, -EINVAL);
    expect_failure(NULL, PIMALLOC_JSON, -EINVAL);
    expect_failure(scratch_path("no/new"), PIMALLOC_JSON, -ENOENT);
    expect_failure(scratch_path("old/new"), PIMALLOC_JSON, -ENOTDIR);
    expect_failure(scratch_folder(), PIMALLOC_JSON, -EISDIR);

    char path[2 * PATH_MAX];
    memset(path, 'x', sizeof(path));
    memcpy(path, scratch_folder(), strlen(scratch_folder()));
    path[strlen(scratch_folder())] = '/';
    path[strlen(scratch_folder()) + 1 + NAME_MAX + 1] =
        '\0'; // one name too long
    expect_failure(path, PIMALLOC_JSON, -ENAMETOOLONG);
    path[strlen(scratch_folder()) + 1 + NAME_MAX + 1] = 'x';
    path[sizeof(path) - 1] = '\0'; // all of it too long
    expect_failure(path, PIMALLOC_JSON, -ENAMETOOLONG);

    // A disk that becomes full on the way.
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < 600; room += 100) {
        struct rlimit limit = {.rlim_cur = room, .rlim_max = before.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
        expect_failure(scratch_path("old"), PIMALLOC_TEXT, -EFBIG);
        expect_failure(scratch_path("new"), PIMALLOC_OPENMETRICS, -EFBIG);
    }
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    fail_in_a_folder_of_somebody_else();

    EXPECT_EQ(pimalloc_stats_save(scratch_path("old"), PIMALLOC_JSON), 0);
    EXPECT(scratch_is_whole(scratch_read(scratch_path("old"))));
    scratch_remove(1);
    embed_stop();
}

// --- slow readers ----------------------------------------------------------

typedef struct slow_reader {
    int fd;
    pthread_t writer;
    size_t bytes;
    char text[SCRATCH_TEXT_MAX];
} slow_reader;

static void
do_nothing(int number)
{
    (void)number;
}

// Reads in small pieces and disturbs the writer in between.
static void *
read_slowly(void *arg)
{
    slow_reader *r = arg;
    ssize_t n;
    while ((n = read(r->fd, r->text + r->bytes, 300)) > 0) {
        r->bytes += (size_t)n;
        pthread_kill(r->writer, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

CASE(documents_survive_slow_readers_and_signals)
{
    static slow_reader reader;
    scratch_make();
    embed_start();
    struct sigaction action = {.sa_handler = do_nothing}; // no SA_RESTART
    sigaction(SIGUSR1, &action, NULL);
    for (int flags = 0; flags <= O_NONBLOCK; flags += O_NONBLOCK) {
        int pipes[2];
        EXPECT_EQ(pipe2(pipes, O_CLOEXEC), 0);
        EXPECT_EQ(fcntl(pipes[1], F_SETPIPE_SZ, 4096), 4096);
        EXPECT_EQ(fcntl(pipes[1], F_SETFL, flags), 0);
        reader.fd = pipes[0];
        reader.writer = pthread_self();
        reader.bytes = 0;
        pthread_t thread = embed_thread(read_slowly, &reader);
        for (int i = 0; i < 20; i++) {
            EXPECT_EQ(pimalloc_stats_write(pipes[1], PIMALLOC_OPENMETRICS), 0);
        }
        close(pipes[1]);
        embed_join(thread);
        close(pipes[0]);
        EXPECT_EQ(
            pimalloc_stats_save(scratch_path("one"), PIMALLOC_OPENMETRICS), 0);
        size_t one = strlen(scratch_read(scratch_path("one")));
        EXPECT_EQ(reader.bytes, 20 * one);
    }
    scratch_remove(1);
    embed_stop();
}

// --- many at once ----------------------------------------------------------

static atomic_bool stopped;

static void *
save_again_and_again(void *arg)
{
    const char *path = arg;
    for (int i = 0; i < 300; i++) {
        EXPECT_EQ(pimalloc_stats_save(path, i % 2 == 0 ? PIMALLOC_JSON
                                                       : PIMALLOC_OPENMETRICS),
                  0);
    }
    return NULL;
}

static void *
look_again_and_again(void *arg)
{
    size_t looks = 0;
    while (!atomic_load(&stopped)) {
        const char *text = scratch_read(arg);
        if (!scratch_is_whole(text)) {
            FAIL("a whole document, not %s", text);
        }
        looks++;
    }
    EXPECT_GT(looks, 0);
    return NULL;
}

// Threads without a thread state and a second process, while Python works.
CASE(saves_at_one_time_leave_one_whole_file)
{
    enum { THREADS = 4 };
    char path[PATH_MAX];
    pthread_t threads[THREADS];
    scratch_make();
    embed_start();
    snprintf(path, sizeof(path), "%s", scratch_path("file"));
    EXPECT_EQ(pimalloc_stats_save(path, PIMALLOC_JSON), 0);
    pid_t child = fork();
    if (child == 0) {
        save_again_and_again(path);
        _exit(0);
    }
    pthread_t reader = embed_thread(look_again_and_again, path);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = embed_thread(save_again_and_again, path);
    }
    embed_run("for n in range(300): x = [str(i) for i in range(200)]");
    for (int i = 0; i < THREADS; i++) {
        embed_join(threads[i]);
    }
    EXPECT_EQ(child_outcome(child), 0);
    atomic_store(&stopped, true);
    embed_join(reader);
    EXPECT(scratch_is_whole(scratch_read(path)));
    scratch_remove(1);
    embed_stop();
}

// As the first process of a container, killed and started again and again.
CASE(files_that_were_left_are_in_nobodys_way)
{
    enum { LEFT = 300 };
    char name[64];
    scratch_make();
    embed_start();
    for (int i = 0; i < LEFT; i++) {
        snprintf(name, sizeof(name), ".pimalloc-%ld-%d.tmp", (long)getpid(), i);
        scratch_write(scratch_path(name), "left\n");
    }
    EXPECT_EQ(pimalloc_stats_save(scratch_path("file"), PIMALLOC_JSON), 0);
    scratch_remove(LEFT + 1);
    embed_stop();
}

CASE(reports_take_nothing_from_python)
{
    scratch_make();
    embed_start();
    pimalloc_snapshot process = embed_stats(PIMALLOC_PROCESS);
    pimalloc_snapshot main_interp = embed_stats(0);
    for (int format = PIMALLOC_TEXT; format <= PIMALLOC_OPENMETRICS; format++) {
        EXPECT_EQ(pimalloc_stats_save(scratch_path("file"), format), 0);
    }
    pimalloc_snapshot after = embed_stats(PIMALLOC_PROCESS);
    EXPECT_EQ(memcmp(&process, &after, sizeof(after)), 0);
    after = embed_stats(0);
    EXPECT_EQ(memcmp(&main_interp, &after, sizeof(after)), 0);
    scratch_remove(1);
    embed_stop();
}
