// test_save.c -- writing statistics where writing is hard.

#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/embed.h"

#define DOCUMENT_MAX 1000000

// --- a scratch folder ------------------------------------------------------

static char folder[] = "/tmp/pimalloc-test-save-XXXXXX";

// The path of a file in it; valid until the next call but one.
static const char *
in_folder(const char *name)
{
    static char paths[2][PATH_MAX];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
    return paths[turn];
}

static void
make_folder(void)
{
    if (embed_is_vanilla()) {
        embed_skip("figures are ours alone");
    }
    EXPECT(mkdtemp(folder) != NULL);
}

static int
count_files(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    EXPECT(dir != NULL);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    }
    closedir(dir);
    return n;
}

// Removes the folder, in which `files` must be.
static void
remove_folder(int files)
{
    EXPECT_EQ(count_files(), files);
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
    EXPECT_EQ(rmdir(folder), 0);
}

static const char *
read_file(const char *path)
{
    static char text[DOCUMENT_MAX];
    FILE *in = fopen(path, "r");
    EXPECT(in != NULL);
    text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
    fclose(in);
    return text;
}

static void
write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    EXPECT(out != NULL && fputs(text, out) >= 0 && fclose(out) == 0);
}

static bool
ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    return n >= strlen(end) && strcmp(text + n - strlen(end), end) == 0;
}

static bool
is_whole(const char *text)
{
    return (text[0] == '{' && ends_with(text, "]}\n")) ||
           (text[0] == '#' && ends_with(text, "\n# EOF\n"));
}

// --- errors ----------------------------------------------------------------

static void
failed_writes_return_the_error(void)
{
    if (embed_is_vanilla()) {
        embed_skip("figures are ours alone");
    }
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
    int before = count_files();
    EXPECT_EQ(pimalloc_stats_save(path, format), err);
    EXPECT_EQ(count_files(), before);
    EXPECT(strcmp(read_file(in_folder("old")), "old\n") == 0);
}

static void
fail_in_a_folder_of_somebody_else(void)
{
    EXPECT_EQ(chmod(folder, 0555), 0);
    if (geteuid() == 0) {
        EXPECT_EQ(seteuid(65534), 0); // root may write everywhere
    }
    expect_failure(in_folder("old"), PIMALLOC_JSON, -EACCES);
    expect_failure(in_folder("new"), PIMALLOC_JSON, -EACCES);
    EXPECT_EQ(seteuid(getuid()), 0);
    EXPECT_EQ(chmod(folder, 0755), 0);
}

static void
failed_saves_leave_the_old_file(void)
{
    make_folder();
    embed_start();
    write_file(in_folder("old"), "old\n");
    expect_failure(in_folder("old"), 3, -EINVAL);
    expect_failure("", PIMALLOC_JSON, -EINVAL);
    expect_failure(NULL, PIMALLOC_JSON, -EINVAL);
    expect_failure(in_folder("no/new"), PIMALLOC_JSON, -ENOENT);
    expect_failure(in_folder("old/new"), PIMALLOC_JSON, -ENOTDIR);
    expect_failure(folder, PIMALLOC_JSON, -EISDIR);

    char path[2 * PATH_MAX];
    memset(path, 'x', sizeof(path));
    memcpy(path, folder, strlen(folder));
    path[strlen(folder)] = '/';
    path[strlen(folder) + 1 + NAME_MAX + 1] = '\0'; // one name too long
    expect_failure(path, PIMALLOC_JSON, -ENAMETOOLONG);
    path[strlen(folder) + 1 + NAME_MAX + 1] = 'x';
    path[sizeof(path) - 1] = '\0'; // all of it too long
    expect_failure(path, PIMALLOC_JSON, -ENAMETOOLONG);

    // A disk that becomes full on the way.
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < 600; room += 100) {
        struct rlimit limit = {.rlim_cur = room, .rlim_max = before.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
        expect_failure(in_folder("old"), PIMALLOC_TEXT, -EFBIG);
        expect_failure(in_folder("new"), PIMALLOC_OPENMETRICS, -EFBIG);
    }
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    fail_in_a_folder_of_somebody_else();

    EXPECT_EQ(pimalloc_stats_save(in_folder("old"), PIMALLOC_JSON), 0);
    EXPECT(is_whole(read_file(in_folder("old"))));
    remove_folder(1);
    embed_stop();
}

// --- where it goes ---------------------------------------------------------

static void
name_of_the_process_stands_in_path_and_samples(void)
{
    char name[64];
    char label[64];
    make_folder();
    embed_start();
    EXPECT_EQ(pimalloc_stats_save(in_folder("a%p-%p%q%%%%p%%%"),
                                  PIMALLOC_OPENMETRICS),
              0);
    snprintf(name, sizeof(name), "a%ld-%ld%%q%%%%p%%%%", (long)getpid(),
             (long)getpid());
    const char *text = read_file(in_folder(name));
    snprintf(label, sizeof(label), "pimalloc_active{pid=\"%ld\"} 1\n",
             (long)getpid());
    EXPECT_HAS(text, label);
    for (const char *line = text; (line = strstr(line, "\npimalloc_"));) {
        line++;
        EXPECT(strstr(line, "{pid=\"") == strchr(line, '{'));
    }
    EXPECT_EQ(pimalloc_stats_save(in_folder("plain"), PIMALLOC_OPENMETRICS), 0);
    EXPECT_HAS(read_file(in_folder("plain")), "\npimalloc_active 1\n");

    // Also without a folder in the path, and with a name of full length.
    char longest[NAME_MAX + 1];
    memset(longest, 'n', NAME_MAX);
    longest[NAME_MAX] = '\0';
    EXPECT_EQ(chdir(folder), 0);
    EXPECT_EQ(pimalloc_stats_save(longest, PIMALLOC_JSON), 0);
    EXPECT(is_whole(read_file(longest)));
    remove_folder(3);
    embed_stop();
}

// Pipes of our own stand for all devices: if this fails, as root it would
// replace them.
static void
links_are_followed_and_devices_written_to(void)
{
    struct stat s;
    make_folder();
    embed_start();
    write_file(in_folder("target"), "old\n");
    EXPECT_EQ(symlink("target", in_folder("link")), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("link"), PIMALLOC_JSON), 0);
    EXPECT(lstat(in_folder("link"), &s) == 0 && S_ISLNK(s.st_mode));
    EXPECT(lstat(in_folder("target"), &s) == 0 && S_ISREG(s.st_mode));
    EXPECT(is_whole(read_file(in_folder("target"))));

    EXPECT_EQ(mkfifo(in_folder("pipe"), 0600), 0);
    EXPECT_EQ(symlink("pipe", in_folder("to-pipe")), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("pipe"), PIMALLOC_JSON), -ENXIO);
    int reader = open(in_folder("pipe"), O_RDONLY | O_NONBLOCK);
    EXPECT_EQ(pimalloc_stats_save(in_folder("pipe"), PIMALLOC_JSON), 0);
    char first = 0;
    EXPECT_EQ(read(reader, &first, 1), 1);
    EXPECT_EQ(first, '{');
    EXPECT_EQ(pimalloc_stats_save(in_folder("to-pipe"), PIMALLOC_TEXT), 0);
    close(reader);
    EXPECT(stat(in_folder("pipe"), &s) == 0 && S_ISFIFO(s.st_mode));
    remove_folder(4);
    embed_stop();
}

// Links to what is not there yet, and to links in other folders.
static void
links_lead_on_to_new_files(void)
{
    struct stat s;
    make_folder();
    embed_start();
    EXPECT_EQ(mkdir(in_folder("sub"), 0700), 0);
    EXPECT_EQ(symlink("sub/second", in_folder("first")), 0);
    EXPECT_EQ(symlink("../target", in_folder("sub/second")), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("first"), PIMALLOC_JSON), 0);
    EXPECT(lstat(in_folder("first"), &s) == 0 && S_ISLNK(s.st_mode));
    EXPECT(lstat(in_folder("sub/second"), &s) == 0 && S_ISLNK(s.st_mode));
    EXPECT(is_whole(read_file(in_folder("target"))));

    EXPECT_EQ(symlink("no/target", in_folder("lost")), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("lost"), PIMALLOC_JSON), -ENOENT);
    EXPECT_EQ(symlink("loop", in_folder("loop")), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("loop"), PIMALLOC_JSON), -ELOOP);

    // A descriptor that no path leads to.
    int pipes[2];
    char path[64];
    char first = 0;
    EXPECT_EQ(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", pipes[1]);
    EXPECT_EQ(symlink(path, in_folder("pipe")), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("pipe"), PIMALLOC_JSON), 0);
    EXPECT_EQ(read(pipes[0], &first, 1), 1);
    EXPECT_EQ(first, '{');
    close(pipes[0]);
    close(pipes[1]);
    EXPECT_EQ(unlink(in_folder("sub/second")), 0);
    EXPECT_EQ(rmdir(in_folder("sub")), 0);
    remove_folder(5);
    embed_stop();
}

static void
expect_victim_unhurt(const char *name)
{
    EXPECT_EQ(pimalloc_stats_save(in_folder(name), PIMALLOC_JSON), -EACCES);
    EXPECT(strcmp(read_file(in_folder("victim")), "secret\n") == 0);
}

// What fs.protected_symlinks and fs.protected_fifos are about, here as root in a
// folder like /tmp.
static void
files_of_others_in_shared_folders_are_refused(void)
{
    enum { SOMEBODY = 65534 };
    if (geteuid() != 0) {
        embed_skip("only root can make files of others");
    }
    make_folder();
    embed_start();
    EXPECT_EQ(chmod(folder, 01777), 0);
    write_file(in_folder("victim"), "secret\n");
    EXPECT_EQ(symlink("victim", in_folder("link")), 0);
    EXPECT_EQ(symlink("link", in_folder("ours")), 0);
    EXPECT_EQ(symlink("new", in_folder("dangling")), 0);
    EXPECT_EQ(mkfifo(in_folder("pipe"), 0666), 0);
    int reader = open(in_folder("pipe"), O_RDONLY | O_NONBLOCK);
    const char *const theirs[] = {"link", "dangling", "pipe"};
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(lchown(in_folder(theirs[i]), SOMEBODY, SOMEBODY), 0);
        expect_victim_unhurt(theirs[i]);
    }
    expect_victim_unhurt("ours"); // leads to one of theirs
    EXPECT_EQ(access(in_folder("new"), F_OK), -1);
    EXPECT_EQ(close(reader), 0);

    // Their own folder, and one that is not shared.
    EXPECT_EQ(chown(folder, SOMEBODY, SOMEBODY), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("link"), PIMALLOC_JSON), 0);
    EXPECT(is_whole(read_file(in_folder("victim"))));
    EXPECT_EQ(chown(folder, 0, 0), 0);
    EXPECT_EQ(chmod(folder, 0755), 0);
    EXPECT_EQ(pimalloc_stats_save(in_folder("dangling"), PIMALLOC_JSON), 0);
    EXPECT(is_whole(read_file(in_folder("new"))));
    remove_folder(6);
    embed_stop();
}

// `program 2>log` with PIMALLOC_STATS=json:/dev/stderr, or with :log.  A link of
// our own stands for /dev/stderr.
static void
log_of_stderr_is_not_replaced(void)
{
    make_folder();
    embed_start();
    EXPECT_EQ(symlink("/proc/self/fd/2", in_folder("stderr")), 0);
    int before = dup(2);
    int log = open(in_folder("log"), O_WRONLY | O_CREAT, 0600);
    dup2(log, 2);
    close(log);
    bool ok = write(2, "first\n", 6) == 6 &&
              pimalloc_stats_save(in_folder("stderr"), PIMALLOC_JSON) == 0 &&
              write(2, "second\n", 7) == 7 &&
              pimalloc_stats_save(in_folder("log"), PIMALLOC_JSON) == 0 &&
              write(2, "third\n", 6) == 6;
    dup2(before, 2);
    EXPECT(ok);
    const char *text = read_file(in_folder("log"));
    EXPECT(strncmp(text, "first\n{", 7) == 0);
    EXPECT_HAS(text, "]}\nsecond\n{");
    EXPECT(ends_with(text, "]}\nthird\n"));
    remove_folder(2);
    embed_stop();
}

// --- slow readers ----------------------------------------------------------

typedef struct slow_reader {
    int fd;
    pthread_t writer;
    size_t bytes;
    char text[DOCUMENT_MAX];
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

static void
documents_survive_slow_readers_and_signals(void)
{
    static slow_reader reader;
    make_folder();
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
        EXPECT_EQ(pimalloc_stats_save(in_folder("one"), PIMALLOC_OPENMETRICS),
                  0);
        size_t one = strlen(read_file(in_folder("one")));
        EXPECT_EQ(reader.bytes, 20 * one);
    }
    remove_folder(1);
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
        const char *text = read_file(arg);
        if (!is_whole(text)) {
            FAIL("a whole document, not %s", text);
        }
        looks++;
    }
    EXPECT_GT(looks, 0);
    return NULL;
}

// Threads without a thread state and a second process, while Python works.
static void
saves_at_one_time_leave_one_whole_file(void)
{
    enum { THREADS = 4 };
    char path[PATH_MAX];
    pthread_t threads[THREADS];
    make_folder();
    embed_start();
    snprintf(path, sizeof(path), "%s", in_folder("file"));
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
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    atomic_store(&stopped, true);
    embed_join(reader);
    EXPECT(is_whole(read_file(path)));
    remove_folder(1);
    embed_stop();
}

static void
reports_take_nothing_from_python(void)
{
    make_folder();
    embed_start();
    pimalloc_snapshot process = embed_stats(PIMALLOC_PROCESS);
    pimalloc_snapshot main_interp = embed_stats(0);
    for (int format = PIMALLOC_TEXT; format <= PIMALLOC_OPENMETRICS; format++) {
        EXPECT_EQ(pimalloc_stats_save(in_folder("file"), format), 0);
    }
    pimalloc_snapshot after = embed_stats(PIMALLOC_PROCESS);
    EXPECT_EQ(memcmp(&process, &after, sizeof(after)), 0);
    after = embed_stats(0);
    EXPECT_EQ(memcmp(&main_interp, &after, sizeof(after)), 0);
    remove_folder(1);
    embed_stop();
}

static const embed_case cases[] = {
    CASE(failed_writes_return_the_error),
    CASE(failed_saves_leave_the_old_file),
    CASE(name_of_the_process_stands_in_path_and_samples),
    CASE(links_are_followed_and_devices_written_to),
    CASE(links_lead_on_to_new_files),
    CASE(files_of_others_in_shared_folders_are_refused),
    CASE(log_of_stderr_is_not_replaced),
    CASE(documents_survive_slow_readers_and_signals),
    CASE(saves_at_one_time_leave_one_whole_file),
    CASE(reports_take_nothing_from_python),
};

EMBED_MAIN(cases)
