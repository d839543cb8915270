// test_paths.c -- where statistics go: names, links, devices.

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/embed.h"
#include "support/scratch.h"

CASE(name_of_the_process_stands_in_path_and_samples)
{
    char name[64];
    char label[64];
    scratch_make();
    embed_start();
    EXPECT_EQ(pimalloc_stats_save(scratch_path("a%p-%p%q%%%%p%%%"),
                                  PIMALLOC_OPENMETRICS),
              0);
    snprintf(name, sizeof(name), "a%ld-%ld%%q%%%%p%%%%", (long)getpid(),
             (long)getpid());
    const char *text = scratch_read(scratch_path(name));
    snprintf(label, sizeof(label), "pimalloc_active{pid=\"%ld\"} 1\n",
             (long)getpid());
    EXPECT_HAS(text, label);
    for (const char *line = text; (line = strstr(line, "\npimalloc_"));) {
        line++;
        EXPECT(strstr(line, "{pid=\"") == strchr(line, '{'));
    }
    EXPECT_EQ(pimalloc_stats_save(scratch_path("plain"), PIMALLOC_OPENMETRICS),
              0);
    EXPECT_HAS(scratch_read(scratch_path("plain")), "\npimalloc_active 1\n");

    // Also without a folder in the path, and with a name of full length.
    char longest[NAME_MAX + 1];
    memset(longest, 'n', NAME_MAX);
    longest[NAME_MAX] = '\0';
    EXPECT_EQ(chdir(scratch_folder()), 0);
    EXPECT_EQ(pimalloc_stats_save(longest, PIMALLOC_JSON), 0);
    EXPECT(scratch_is_whole(scratch_read(longest)));
    scratch_remove(3);
    embed_stop();
}

// Pipes of our own stand for all devices: if this fails, as root it would
// replace them.
CASE(links_are_followed_and_devices_written_to)
{
    struct stat s;
    scratch_make();
    embed_start();
    scratch_write(scratch_path("target"), "old\n");
    EXPECT_EQ(symlink("target", scratch_path("link")), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("link"), PIMALLOC_JSON), 0);
    EXPECT(lstat(scratch_path("link"), &s) == 0 && S_ISLNK(s.st_mode));
    EXPECT(lstat(scratch_path("target"), &s) == 0 && S_ISREG(s.st_mode));
    EXPECT(scratch_is_whole(scratch_read(scratch_path("target"))));

    EXPECT_EQ(mkfifo(scratch_path("pipe"), 0600), 0);
    EXPECT_EQ(symlink("pipe", scratch_path("to-pipe")), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("pipe"), PIMALLOC_JSON), -ENXIO);
    int reader = open(scratch_path("pipe"), O_RDONLY | O_NONBLOCK);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("pipe"), PIMALLOC_JSON), 0);
    char first = 0;
    EXPECT_EQ(read(reader, &first, 1), 1);
    EXPECT_EQ(first, '{');
    EXPECT_EQ(pimalloc_stats_save(scratch_path("to-pipe"), PIMALLOC_TEXT), 0);
    close(reader);
    EXPECT(stat(scratch_path("pipe"), &s) == 0 && S_ISFIFO(s.st_mode));
    scratch_remove(4);
    embed_stop();
}

// Links to what is not there yet, and to links in other folders.
CASE(links_lead_on_to_new_files)
{
    struct stat s;
    scratch_make();
    embed_start();
    EXPECT_EQ(mkdir(scratch_path("sub"), 0700), 0);
    EXPECT_EQ(symlink("sub/second", scratch_path("first")), 0);
    EXPECT_EQ(symlink("../target", scratch_path("sub/second")), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("first"), PIMALLOC_JSON), 0);
    EXPECT(lstat(scratch_path("first"), &s) == 0 && S_ISLNK(s.st_mode));
    EXPECT(lstat(scratch_path("sub/second"), &s) == 0 && S_ISLNK(s.st_mode));
    EXPECT(scratch_is_whole(scratch_read(scratch_path("target"))));

    EXPECT_EQ(symlink("no/target", scratch_path("lost")), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("lost"), PIMALLOC_JSON),
              -ENOENT);
    EXPECT_EQ(symlink("loop", scratch_path("loop")), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("loop"), PIMALLOC_JSON), -ELOOP);

    // A descriptor that no path leads to.
    int pipes[2];
    char path[64];
    char first = 0;
    EXPECT_EQ(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", pipes[1]);
    EXPECT_EQ(symlink(path, scratch_path("pipe")), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("pipe"), PIMALLOC_JSON), 0);
    EXPECT_EQ(read(pipes[0], &first, 1), 1);
    EXPECT_EQ(first, '{');
    close(pipes[0]);
    close(pipes[1]);
    EXPECT_EQ(unlink(scratch_path("sub/second")), 0);
    EXPECT_EQ(rmdir(scratch_path("sub")), 0);
    scratch_remove(5);
    embed_stop();
}

static void
expect_victim_unhurt(const char *name)
{
    EXPECT_EQ(pimalloc_stats_save(scratch_path(name), PIMALLOC_JSON), -EACCES);
    EXPECT(strcmp(scratch_read(scratch_path("victim")), "secret\n") == 0);
}

// What fs.protected_symlinks and fs.protected_fifos are about, here as root in a
// folder like /tmp.
CASE(files_of_others_in_shared_folders_are_refused)
{
    enum { SOMEBODY = 65534 };
    if (geteuid() != 0) {
        embed_skip("only root can make files of others");
    }
    scratch_make();
    embed_start();
    EXPECT_EQ(chmod(scratch_folder(), 01777), 0);
    scratch_write(scratch_path("victim"), "secret\n");
    EXPECT_EQ(symlink("victim", scratch_path("link")), 0);
    EXPECT_EQ(symlink("link", scratch_path("ours")), 0);
    EXPECT_EQ(symlink("new", scratch_path("dangling")), 0);
    EXPECT_EQ(mkfifo(scratch_path("pipe"), 0666), 0);
    int reader = open(scratch_path("pipe"), O_RDONLY | O_NONBLOCK);
    const char *const theirs[] = {"link", "dangling", "pipe"};
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(lchown(scratch_path(theirs[i]), SOMEBODY, SOMEBODY), 0);
        expect_victim_unhurt(theirs[i]);
    }
    expect_victim_unhurt("ours"); // leads to one of theirs
    EXPECT_EQ(access(scratch_path("new"), F_OK), -1);
    EXPECT_EQ(close(reader), 0);

    // Their own scratch_folder(), and one that is not shared.
    EXPECT_EQ(chown(scratch_folder(), SOMEBODY, SOMEBODY), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("link"), PIMALLOC_JSON), 0);
    EXPECT(scratch_is_whole(scratch_read(scratch_path("victim"))));
    EXPECT_EQ(chown(scratch_folder(), 0, 0), 0);
    EXPECT_EQ(chmod(scratch_folder(), 0755), 0);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("dangling"), PIMALLOC_JSON), 0);
    EXPECT(scratch_is_whole(scratch_read(scratch_path("new"))));
    scratch_remove(6);
    embed_stop();
}

// `program 2>log` with PIMALLOC_STATS=json:/dev/stderr, or with :log.  A link of
// our own stands for /dev/stderr.
CASE(log_of_stderr_is_not_replaced)
{
    scratch_make();
    embed_start();
    EXPECT_EQ(symlink("/proc/self/fd/2", scratch_path("stderr")), 0);
    int before = dup(2);
    int log = open(scratch_path("log"), O_WRONLY | O_CREAT, 0600);
    dup2(log, 2);
    close(log);
    bool ok = write(2, "first\n", 6) == 6 &&
              pimalloc_stats_save(scratch_path("stderr"), PIMALLOC_JSON) == 0 &&
              write(2, "second\n", 7) == 7 &&
              pimalloc_stats_save(scratch_path("log"), PIMALLOC_JSON) == 0 &&
              write(2, "third\n", 6) == 6;
    dup2(before, 2);
    EXPECT(ok);
    const char *text = scratch_read(scratch_path("log"));
    EXPECT(strncmp(text, "first\n{", 7) == 0);
    EXPECT_HAS(text, "]}\nsecond\n{");
    EXPECT(scratch_text_ends_with(text, "]}\nthird\n"));
    scratch_remove(2);
    embed_stop();
}

static atomic_bool stopped;

// A pipe and a file take turns at one path.
static void *
swap_again_and_again(void *arg)
{
    const char *const names[] = {"file", "pipe"};
    (void)arg;
    for (int i = 0; !atomic_load(&stopped); i++) {
        char from[PATH_MAX];
        char hand[PATH_MAX];
        char path[PATH_MAX];
        snprintf(from, sizeof(from), "%s/%s", scratch_folder(), names[i % 2]);
        snprintf(hand, sizeof(hand), "%s/hand", scratch_folder());
        snprintf(path, sizeof(path), "%s/path", scratch_folder());
        EXPECT_EQ(link(from, hand), 0);
        EXPECT_EQ(rename(hand, path), 0);
    }
    return NULL;
}

CASE(files_that_come_while_we_look_are_not_written_into)
{
    static char pipe_path[PATH_MAX];
    static char path[PATH_MAX];
    char rest[4096];
    scratch_make();
    embed_start();
    scratch_write(scratch_path("file"), "old\n");
    snprintf(pipe_path, sizeof(pipe_path), "%s", scratch_path("pipe"));
    snprintf(path, sizeof(path), "%s", scratch_path("path"));
    EXPECT_EQ(mkfifo(pipe_path, 0600), 0);
    int reader = open(pipe_path, O_RDWR | O_NONBLOCK);
    atomic_store(&stopped, false);
    pthread_t thread = embed_thread(swap_again_and_again, NULL);
    for (int i = 0; i < 3000; i++) {
        EXPECT_EQ(pimalloc_stats_save(path, PIMALLOC_JSON), 0);
        while (read(reader, rest, sizeof(rest)) > 0) {
        }
    }
    atomic_store(&stopped, true);
    embed_join(thread);
    close(reader);
    EXPECT(strcmp(scratch_read(scratch_path("file")), "old\n") == 0);
    scratch_remove(3);
    embed_stop();
}
